"""``geodns blockpage``: the page for visitors of sinkholed names, without a resolver."""

from __future__ import annotations

from typing import Annotated

import typer

from geodns import logs
from geodns.cli.options import Config, Json
from geodns.config import load_settings
from geodns.console import out


def blockpage(
    config: Config = None,
    skip_bad_orders: Annotated[
        bool,
        typer.Option(
            "--skip-bad-orders",
            help="Start even if order files are faulty and have no last good edition.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Serve the block page alone, until SIGTERM or SIGINT.

    It listens on [blockpage].listen and needs orders and databases as the resolver does; both are
    taken over as they change. `geodns serve` runs the page by itself where listen is set.

    Example: geodns blockpage -c /etc/geodns.toml
    """
    from geodns.serve import pagealone

    settings = load_settings(config)
    logs.start(settings.log.format, settings.log.level)
    pagealone.serve(settings, skip_bad_orders, out.progress, as_json=as_json)
