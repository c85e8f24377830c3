"""A day in the life of a resolver, played on loopback within minutes.

    python -m tests.day.run [--lists FOLDER] [--out FOLDER] [--write]

Six countries publish lists, over HTTP on this machine; lists go wrong; an order of a court is
written, signed, held in part, acknowledged, verified, suspended, resumed and lifted; a worker is
killed; clients ask all the while. At the end ledger, proof, receipt and report have to tell it all.

--lists: a folder with the real lists (docs/day.md says which); without it small ones of our own
making. --out: where proof, receipts, report and map go. --write puts the table into docs/day.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.day import scenes
from tests.day.crowd import Crowd
from tests.day.lists import Official, made, real
from tests.day.stage import CLIENTS, Row, Stage
from tests.live import pages
from tests.orders.feeds.publisher import publishing
from tests.serve.running import ROOT, Upstream, running

DATABASE = ROOT / "data" / "geo-whois-asn-country.mmdb"
PAGE = ROOT / "docs" / "day.md"


def play(
    folder: Path,
    out: Path,
    lists: Sequence[Official],
    databases: Sequence[Path],
    tell: Callable[[str], None],
) -> list[Row]:
    """Play the day; returns its log. Raises AssertionError where anything is wrong."""
    with _upstream() as port, publishing() as publisher:
        stage = Stage(folder, lists, publisher, tell)
        settings = stage.set_up(port, databases)
        with running(settings) as server:
            steady = scenes.lists_come_in(stage, server)
            crowd = Crowd(server.port, CLIENTS, steady)
            try:
                scenes.lists_go_wrong(stage, server)
                scenes.orders_are_lifted(stage, server)
                scenes.an_order_arrives(stage, server)
                scenes.a_worker_is_killed(stage, server)
                scenes.it_is_appealed_and_lifted(stage, server)
                scenes.night_falls(stage, server, crowd, out)
            finally:
                crowd.end()
            end = datetime.now(UTC)
        scenes.the_books_are_closed(stage, out, end)
        return stage.rows


@contextmanager
def _upstream() -> Iterator[int]:
    made = Upstream()
    try:
        yield made.port
    finally:
        made.close()


def table(rows: Sequence[Row]) -> str:
    """The log as a Markdown table."""
    lines = ["| hour | what happens | what comes of it | took |", "|---|---|---|---|"]
    for row in rows:
        took = "" if row.took is None else f"{row.took:.2f} s"
        lines.append(f"| {row.hour} | {row.what} | {row.result} | {took} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Play a day in the life of a resolver.")
    parser.add_argument("--lists", type=Path, help="folder with the real lists")
    parser.add_argument("--out", type=Path, help="folder for proof, receipts, report and map")
    parser.add_argument("--write", action="store_true", help="put the table into docs/day.md")
    chosen = parser.parse_args()
    lists = made() if chosen.lists is None else real(chosen.lists)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="geodns-day-") as folder:
        out = chosen.out.resolve() if chosen.out is not None else Path(folder) / "out"
        rows = play(Path(folder) / "day", out, lists, [DATABASE], print)
    told = f"The day took {time.monotonic() - began:.0f} s."
    print(told)
    if chosen.write:
        pages.write("the day", f"{table(rows)}\n\n{told}", PAGE)


if __name__ == "__main__":
    sys.exit(main())
