"""``geodns geoip``: which databases there are, how old they are, and getting newer ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote, urlsplit

import typer

from geodns.cli.locate import age_days, day
from geodns.cli.options import Config, Json
from geodns.cli.usage import Command, Group
from geodns.errors import Fault, InputFaults

if TYPE_CHECKING:
    from geodns.config import Settings
    from geodns.locate.table import Source

ACCOUNT, KEY = "GEODNS_MAXMIND_ACCOUNT", "GEODNS_MAXMIND_KEY"
WARN_DAYS = 30

app = typer.Typer(
    cls=Group,
    help="Look at and update the databases.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command(cls=Command)
def info(config: Config = None, json: Json = False) -> None:
    """Show the databases and geofeeds: type, build date, age, networks, what they lack.

    Example: geodns geoip info
    """
    from geodns import app as wiring
    from geodns.config import load_settings
    from geodns.console import out

    settings = load_settings(config)
    with out.progress("building the place tables (once per edition)") as advance:
        table = wiring.open_places(settings, advance)
    limit = settings.geoip.max_age_days
    found = [_facts(source, limit) for source in table.sources]
    if json:
        out.document(
            {
                "sources": found,
                "subdivisions": table.has_subdivisions,
                "asn": table.has_asn,
                "edition": table.edition,
                "table": str(table.path),
            }
        )
        return
    columns = ("source", "kind", "type", "built", "age", "networks", "no country", "places", "path")
    out.table(columns, [_row(facts) for facts in found], shrink=("type",))
    out.line()
    out.line(
        f"subdivisions: {_yes(table.has_subdivisions)}, AS numbers: {_yes(table.has_asn)},"
        f" place table: {out.short_path(str(table.path))}"
    )
    for facts in found:
        if facts["warning"]:
            out.line(f"warning: {facts['source']} {facts['warning']}", style="yellow")


def _facts(source: Source, limit: int | None) -> dict[str, Any]:
    age = age_days(source.built)
    warning = None
    if source.kind != "geofeed":
        if limit is not None and age > limit:
            warning = f"is {age} days old, more than geoip.max_age_days = {limit}"
        elif age > WARN_DAYS:
            warning = f"is {age} days old; get a newer one (geodns geoip update --help)"
    return {
        "source": source.name,
        "kind": source.kind,
        "type": source.database_type or None,
        "built": day(source.built),
        "age_days": age,
        "networks": source.networks,
        "without_country": source.without_country,
        "places": source.places,
        "path": source.path,
        "edition": source.edition,
        "warning": warning,
    }


def _row(facts: dict[str, Any]) -> list[str]:
    from geodns.console import out

    return [
        facts["source"],
        facts["kind"],
        facts["type"] or "-",
        facts["built"],
        f"{facts['age_days']} d",
        f"{facts['networks']:,}",
        f"{facts['without_country']:,}",
        f"{facts['places']:,}",
        out.short_path(facts["path"]),
    ]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


@app.command(cls=Command)
def update(
    edition: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="MaxMind edition to get, such as GeoLite2-Country."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Get it from here: .mmdb, .mmdb.gz, .tar.gz or .tgz."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to replace or to make.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Take it even if it is older, much smaller, or knows less."),
    ] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Get a newer database, check it, and put it in the place of the old one.

    With --edition it comes from MaxMind, with the account and the licence key that are in the
    environment variables GEODNS_MAXMIND_ACCOUNT and GEODNS_MAXMIND_KEY. Replaced is the
    configured database of that name, or with --url the only configured one; otherwise it is
    put into [server].state, and what to write into the settings is said. A running server
    notices by itself.

    Example: geodns geoip update --edition GeoLite2-Country --to data/GeoLite2-Country.mmdb
    """
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.locate.fetch import fetch, fetch_maxmind, unpack
    from geodns.locate.update import install

    if (edition is None) == (url is None):
        raise InputFaults([Fault("give either --edition NAME or --url URL")])
    settings = load_settings(config)
    name = edition or _stem(url or "")
    path = to or _target(settings, name, only=edition is None)
    with out.progress("fetching") as advance:
        if url is not None:
            data = fetch(url, progress=advance)
        else:
            data = fetch_maxmind(name, *_credentials(), progress=advance)
    with out.progress("checking") as advance:
        done = install(path, unpack(data, path.name), force=force, progress=advance)
    configured = path.resolve() in {file.resolve() for file in settings.geoip.databases}
    if json:
        out.document(
            {
                "path": str(path),
                "changed": done.changed,
                "configured": configured,
                "type": done.new.database_type,
                "kind": done.new.kind,
                "built": day(done.new.built),
                "networks": done.new.networks,
                "before": None
                if done.old is None
                else {"built": day(done.old.built), "networks": done.old.networks},
            }
        )
        return
    what = f"{done.new.database_type} of {day(done.new.built)}, {done.new.networks:,} networks"
    if not done.changed:
        out.line(f"{path} is up to date: {what}")
    else:
        was = f" (was of {day(done.old.built)}, {done.old.networks:,})" if done.old else ""
        out.line(f"{path} is now {what}{was}")
    if not configured:
        out.line(f'It is not in use yet; add it to the settings: [geoip] databases = ["{path}"]')


def _stem(url: str) -> str:
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    for suffix in (".gz", ".tgz", ".tar", ".mmdb"):
        name = name.removesuffix(suffix)
    return name or "database"


def _target(settings: Settings, name: str, *, only: bool) -> Path:
    """The configured database that is meant, else a new file in the state folder."""
    databases = settings.geoip.databases
    for path in databases:
        if path.stem == name:
            return path
    if only and len(databases) == 1:
        return databases[0]
    return settings.server.state / "databases" / f"{name}.mmdb"


def _credentials() -> tuple[str, str]:
    account, key = os.environ.get(ACCOUNT), os.environ.get(KEY)
    missing = [name for name, value in ((ACCOUNT, account), (KEY, key)) if not value]
    if not account or not key:
        raise InputFaults(
            Fault(f"{name} is not set; MaxMind gives every account an id and licence keys")
            for name in missing
        )
    return account, key
