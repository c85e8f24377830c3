"""``geodns orders import``: an official list in, a list file for an order out, and a report."""

from __future__ import annotations

import gzip
import hashlib
import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zlib import error as ZlibError

import typer

from geodns.cli.options import Config, Json
from geodns.errors import Fault, InputFaults
from geodns.model.name import to_text

if TYPE_CHECKING:
    from geodns.orders.feeds.take import Taken

MOST = 512 << 20
"""Octets of a list at most, unpacked."""


def import_list(
    source: Annotated[
        str, typer.Argument(metavar="LIST", help="The list: a file (.gz is unpacked), - for stdin.")
    ],
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", metavar="FORMAT", help="Its format. Without it: found by content."
        ),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What a name stands for, where the order says so and not the format: domain"
            " (the name and all below it), exact, below.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="STEM",
            help="Write STEM.domains.txt (for targets.files), STEM.targets.txt (exact names, names"
            " below, networks: for the order file) and STEM.rejected.tsv.",
        ),
    ] = None,
    shrunken: Annotated[
        bool,
        typer.Option("--shrunken", help="Replace a list file that is twice as long."),
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Read an official list, and say of every row that is not taken why.

    Nothing is widened: a URL with a path is about a page and is rejected, not turned into its
    host. Rows that the list itself marks as deleted are not taken. Formats: see
    docs/feeds.md.

    Exit codes: 0 every row was taken; 1 rows were rejected; 2 it is no list, or it has shrunk.

    Example: geodns orders import register.csv --to orders/CZ/cz-mfcr
    """
    from geodns.console import out
    from geodns.orders.feeds.row import FeedFault
    from geodns.orders.feeds.take import report, take

    del config
    if match not in (None, "domain", "exact", "below"):
        raise InputFaults(
            [Fault(f"{match!r} is none of: domain, exact, below", None, None, "--match")]
        )
    data = _read(source)
    lines = data.count(b"\n")
    try:
        with out.progress("reading the list") as advance:
            taken = take(
                data,
                datetime.now(UTC).date(),
                format_name,
                match,  # type: ignore[arg-type]
                lambda done: advance(done, max(done, lines)),
            )
    except FeedFault as fault:
        raise InputFaults([Fault(str(fault), source)]) from None
    files = _write(to, taken, source, data, shrunken) if to is not None else []
    if as_json:
        out.document(_document(taken, files))
    else:
        for line in report(taken):
            out.line(line)
        for path in files:
            out.line(f"written: {out.short_path(str(path))}")
    if taken.rejected:
        raise typer.Exit(1)


def _read(source: str) -> bytes:
    if source == "-":
        data = sys.stdin.buffer.read(MOST + 1)
    else:
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            told = f"cannot be read: {error.strerror or error}"
            raise InputFaults([Fault(told, source)]) from None
    if data.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(BytesIO(data)) as file:
                data = file.read(MOST + 1)
        except (OSError, EOFError, ZlibError) as error:
            raise InputFaults([Fault(f"cannot be unpacked: {error}", source)]) from None
    if len(data) > MOST:
        raise InputFaults([Fault(f"is larger than {MOST >> 20} MiB", source)])
    return data


def _write(to: Path, taken: Taken, source: str, data: bytes, shrunken: bool) -> list[Path]:
    """Write what was taken and what was not; return the files. Old ones stay until all is well."""
    from geodns.orders.feeds.take import has_shrunk

    domains = to.with_name(to.name + ".domains.txt")
    before = _held(domains)
    if has_shrunk(before, len(taken.domains)) and not shrunken:
        told = (
            f"has {before} names and the new list {len(taken.domains)}: the old one stays. If that"
            " is right, say --shrunken"
        )
        raise InputFaults([Fault(told, str(domains))])
    digest = hashlib.sha256(data).hexdigest()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    head = [
        f"# {len(taken.domains)} names of {Path(source).name}, format {taken.format}, read {now}",
        f"# SHA-256 of the list: {digest}",
    ]
    files = {domains: [*head, *sorted(map(to_text, taken.domains))]} if taken.domains else {}
    if rest := _targets(taken):
        files[to.with_name(to.name + ".targets.txt")] = [*head[1:], *rest]
    if taken.rejected:
        rows = [f"{row.where}\t{row.reason}\t{_one_line(row.text)}" for row in taken.rejected]
        files[to.with_name(to.name + ".rejected.tsv")] = ["where\treason\trow", *rows]
    try:
        for path, lines in files.items():
            part = path.with_name(path.name + ".part")
            part.write_text("\n".join(lines) + "\n", encoding="utf-8")
            part.replace(path)
    except OSError as error:
        told = f"cannot be written: {error.strerror or error}"
        raise InputFaults([Fault(told, error.filename or str(to))]) from None
    return list(files)


def _held(path: Path) -> int:
    """How many names a list file holds."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return 0
    return sum(bool(line.strip()) and line[:1] != "#" for line in lines)


def _targets(taken: Taken) -> list[str]:
    """What list files cannot say, as lines for ``[targets]`` of an order file."""
    lines: list[str] = []
    for key, texts in (
        ("exact", sorted(map(to_text, taken.exact))),
        ("below", sorted(map(to_text, taken.below))),
        ("networks", [str(network) for network in taken.networks]),
    ):
        if texts:
            lines += [f"{key} = [", *(f'    "{text}",' for text in texts), "]"]
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _document(taken: Taken, files: list[Path]) -> dict[str, object]:
    return {
        "format": taken.format,
        "rows": taken.rows,
        "taken": {
            "domains": len(taken.domains),
            "exact": len(taken.exact),
            "below": len(taken.below),
            "networks": len(taken.networks),
        },
        "rejected": {
            reason: {
                "count": count,
                "samples": [{"where": row.where, "row": row.text} for row in taken.samples(reason)],
            }
            for reason, count in taken.reasons().items()
        },
        "files": [str(path) for path in files],
    }
