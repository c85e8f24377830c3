"""``geodns demo``: the real server on loopback, asked from several countries, and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from geodns import shipped
from geodns.cli.ask import TRUSTED_SOURCE, ask
from geodns.cli.demo_oracle import PlainOrder, expected, read_orders
from geodns.cli.demo_table import Cell, announce, complaint, document, show
from geodns.cli.demo_upstream import ZoneServer
from geodns.cli.options import Config, Json
from geodns.cli.origin import Address, representative
from geodns.config import load_settings
from geodns.console import out
from geodns.errors import GeodnsError, InputFaults
from geodns.model.name import parse
from geodns.serve.server import serving
from geodns.settings import Server, Settings, Trust, Upstream

PLACES = ("IT", "SM", "VA", "FR", "DE", "GB", "BE", "US")
MOST_PLACES = 12
FREE_NAME = "www.example.org"
ALIAS = "mirror.example.net"
FIRST_ORDER = "it-milano-2022-cloudflare"


class DemoError(GeodnsError):
    """A reply is not what the order files say."""

    exit_code = 1


def demo(
    workers: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=16, help="Worker processes.")
    ] = 2,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show geodns offline: the real server on loopback, asked as clients of several countries.

    Starts what serve starts, with a small upstream of its own, and asks for the names of the
    orders over UDP. It always uses the database and the orders that ship, not those of
    ./geodns.toml; -c FILE takes those of that file. Exit code 0 only if every reply is what
    the order files say, read again without geodns' own code.

    Example: geodns demo
    """
    settings = load_settings(config) if config is not None else _shipped()
    orders = read_orders(settings.orders.directories)
    zone = _zone(orders)
    with TemporaryDirectory(prefix="geodns-demo-") as folder:
        state = _state(Path(folder), settings)
        with ZoneServer(zone) as upstream:
            settings = _settings(settings, state, workers, upstream.address)
            clients, networks = _clients(settings, orders)
            if not as_json:
                announce(orders, networks, workers)
            # In JSON mode stdout is for the document alone, not for the server's ready line.
            ready_line = redirect_stdout(StringIO()) if as_json else nullcontext()
            with ready_line, serving(settings) as (server,):
                cells = list(_ask_all(server, zone, orders, clients))
            asked = upstream.asked
    wrong = [cell for cell in cells if not cell.right]
    if as_json:
        out.document(document(cells, asked))
    else:
        show(cells, orders, list(clients), asked, (ALIAS, zone[ALIAS]) if ALIAS in zone else None)
    if wrong:
        raise DemoError("\n".join(complaint(cell) for cell in wrong))


def _shipped() -> Settings:
    settings = Settings()
    databases = tuple(sorted(shipped.data().glob("*.mmdb")))
    return settings.model_copy(
        update={
            "geoip": settings.geoip.model_copy(update={"databases": databases}),
            "orders": settings.orders.model_copy(update={"directories": (shipped.orders(),)}),
        }
    )


def _settings(settings: Settings, state: Path, workers: int, upstream: str) -> Settings:
    """The same orders and databases, served on loopback, with the demo's upstream."""
    demo_server = {"listen": ("127.0.0.1:0",), "workers": workers, "state": state}
    return settings.model_copy(
        update={
            "server": Server.model_validate(demo_server),
            "upstream": Upstream.model_validate({"servers": (upstream,)}),
            "trust": Trust.model_validate({"ecs": (TRUSTED_SOURCE,)}),
        }
    )


def _zone(orders: Sequence[PlainOrder]) -> dict[str, str]:
    """The names that are asked for, each with an address of TEST-NET-2 or as an alias."""
    names: list[str] = []
    for order in sorted(orders, key=lambda order: order.id != FIRST_ORDER):
        plain = [
            f"www.{name}" if how == "below" else name for how, name in order.names if name.isascii()
        ]
        # All of the first order's names, and one below them; one name of each of the others.
        names += [*plain[:3], f"cdn.{plain[0]}"] if not names and plain else plain[:1]
    names = list(dict.fromkeys(names))
    zone = {name: f"198.51.100.{at % 250 + 1}" for at, name in enumerate([*names, FREE_NAME])}
    return {**zone, ALIAS: names[0]} if names else zone


def _state(folder: Path, settings: Settings) -> Path:
    """A state folder for the demo that shares the user's place tables, to save their making."""
    state = folder / "state"
    state.mkdir()
    kept = settings.server.state / "places"
    try:
        kept.mkdir(parents=True, exist_ok=True)
        (state / "places").symlink_to(kept.resolve())
    except OSError:
        pass  # no state can be kept here: the tables are made in the demo's own folder
    return state


def _clients(settings: Settings, orders: Sequence[PlainOrder]) -> tuple[Mapping[str, Address], int]:
    """An address for each country asked from, and how many networks the databases hold."""
    from geodns.app import open_places

    with out.progress("reading the databases, once per edition") as progress:
        places = open_places(settings, progress)
    now = datetime.now(UTC)
    named = sorted(
        {country for order in orders if order.in_force(now) for country in order.places or ()}
    )
    clients: dict[str, Address] = {}
    for country in dict.fromkeys([*PLACES, *named]):
        if len(clients) == MOST_PLACES:
            break
        try:
            clients[country] = representative(places, country)
        except InputFaults:
            continue
    return clients, sum(source.networks for source in places.sources)


def _ask_all(
    server: tuple[str, int],
    zone: Mapping[str, str],
    orders: Sequence[PlainOrder],
    clients: Mapping[str, Address],
) -> Iterator[Cell]:
    with out.progress("asking") as progress:
        done = 0
        for name, value in zone.items():
            chain = [name, value] if value in zone else [name]
            for country, client in clients.items():
                # Just before and after the reply: an order may begin or end in between.
                before = expected(orders, chain, country, datetime.now(UTC))
                reply = ask(server, parse(name), 1, client=client)
                after = expected(orders, chain, country, datetime.now(UTC))
                address = zone.get(value, value)
                cell = Cell(name, country, before, address, reply)
                yield cell if cell.right else Cell(name, country, after, address, reply)
                done += 1
                progress(done, len(zone) * len(clients))
