"""``geodns orders approve``: a person signs the edition of an order that is to have force."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from geodns.cli.options import Config, Json
from geodns.errors import Fault, InputFaults, LedgerError, OrderError

if TYPE_CHECKING:
    from geodns.ledger.seal import Seal
    from geodns.orders.approval import Approvers
    from geodns.orders.guard.judge import Known
    from geodns.orders.loaded import Approval, LoadedOrder

SHOWN = 10
"""Targets of a sort that are shown to who signs."""


def approve(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Order files to approve.", show_default=False),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Your private key (Ed25519, PEM). It also says who you are.",
            show_default=False,
        ),
    ] = None,
    new_key: Annotated[
        Path | None,
        typer.Option(
            "--new-key",
            metavar="FILE",
            help="Make a key pair: the private key goes into FILE, the public one is printed.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Sign without asking, as in a script.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Approve orders: sign the very edition that is in the file now, with its lists.

    With `approvals = 2` in [orders], an edition has force once two of the approvers have signed it.
    The signature goes into ID.approvals beside the order file; a changed file needs new ones.

    Exit codes: 0 signed; 1 not everything was signed; 2 a file is faulty, or the key is nobody's.

    Example: geodns orders approve orders/IT/it-example-2026.toml --key anna.key
    """
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.ledger.seal import Seal
    from geodns.orders.approval import Approvers
    from geodns.orders.guard.judge import known_with

    if new_key is not None:
        _make(new_key, as_json)
        return
    missing = [
        Fault(f"{what} is missing")
        for what, given in (("FILE", files), ("--key", key))
        if not given
    ]
    if missing or not files or key is None:
        raise InputFaults(missing)
    if not yes and not sys.stdin.isatty():
        raise InputFaults([Fault("--yes is missing: there is no terminal to ask on")])
    orders = load_settings(config).orders
    approvers = Approvers(orders.approvals, orders.keys)
    try:
        seal = Seal.read(key)
    except LedgerError as error:
        raise InputFaults([Fault(str(error))]) from None
    by = _whose(approvers.keys, seal, key)
    # All files are read before the first is signed: a faulty one leaves nothing half-done.
    known = known_with(orders.popular)
    read = [_read(path, known) for path in files]
    documents = [_approve(edition, by, seal, approvers, yes=yes, quiet=as_json) for edition in read]
    if as_json:
        out.document(documents)
    if not all(document["signed"] for document in documents):
        raise typer.Exit(1)


class Edition(NamedTuple):
    """An order as its files were read, once: what is shown is what is signed."""

    path: Path
    loaded: LoadedOrder
    data: bytes
    lists: dict[str, bytes]


def _make(path: Path, as_json: bool) -> None:
    from geodns.console import out
    from geodns.ledger.seal import Seal

    if path.exists():
        raise InputFaults([Fault("is there already; a key is never written over", str(path))])
    try:
        seal = Seal.of(path)
    except LedgerError as error:
        raise InputFaults([Fault(str(error))]) from None
    if as_json:
        out.document({"file": str(path), "key": seal.key})
        return
    out.line(f"the private key is in {out.short_path(str(path))}: keep it to yourself")
    out.line("for the settings of the servers:")
    out.line()
    out.line("[[orders.approvers]]")
    out.line('name = "YOUR NAME"')
    out.line(f'key  = "{seal.key}"')


def _whose(keys: Mapping[str, str], seal: Seal, path: Path) -> str:
    for name, known in keys.items():
        if known == seal.key:
            return name
    told = (
        f"its public key {seal.key} is that of no approver; it belongs into [[orders.approvers]]"
        " of the settings (-c FILE)"
    )
    raise InputFaults([Fault(told, str(path))])


def _read(path: Path, known: Known) -> Edition:
    from geodns.orders.feeds.kept import MARK
    from geodns.orders.guard.review import review
    from geodns.orders.read import read_order
    from geodns.orders.scan import scan_path

    def fetch(name: str) -> bytes:
        if name.startswith(MARK):
            raise FileNotFoundError(name)  # what was fetched is not what is signed
        return (path.parent / name).read_bytes()

    if not path.is_file():
        raise InputFaults([Fault("is no file", str(path))])
    found = scan_path(path)
    _, place = found.files.get(str(path), (None, None))
    if found.faults or place is None:
        raise OrderError(found.faults or [Fault("is no order file", str(path))])
    try:
        data = path.read_bytes()
    except OSError as error:
        told = f"cannot be read: {error.strerror or error}"
        raise InputFaults([Fault(told, str(path))]) from None
    reading = read_order(str(path), place, data, fetch)
    if reading.order is None:
        raise OrderError(reading.faults)
    return Edition(path, review(reading.order, known)[0], data, reading.lists)


def _approve(
    edition: Edition, by: str, seal: Seal, approvers: Approvers, *, yes: bool, quiet: bool
) -> dict[str, Any]:
    from geodns.console import out
    from geodns.orders.approval import SUFFIX, message, signed_edition
    from geodns.orders.loaded import Approval

    path, loaded = edition.path, edition.loaded
    digest = signed_edition(edition.data, edition.lists)
    file = path.with_name(loaded.order.id + SUFFIX)
    if not quiet:
        _show(loaded, digest)
    signed = yes or typer.confirm(f"Sign it as {by}?")
    if signed:
        at = datetime.now(UTC).replace(microsecond=0)
        signature = seal.sign(message(loaded, digest, by, at))
        _add(file, edition, approvers, Approval(by, at, digest, signature))
    found = approvers.look(loaded, edition.data, edition.lists, lambda _: file.read_bytes())
    document = {
        "order": loaded.order.id,
        "file": str(path),
        "edition": digest,
        "by": by,
        "signed": signed,
        "approvals": [each.by for each in found.approvals],
        "needed": approvers.needed,
    }
    if not quiet:
        names = ", ".join(each.by for each in found.approvals) or "nobody"
        out.line(f"approved by {names}; {approvers.needed} needed")
        out.line()
    return document


def _show(loaded: LoadedOrder, digest: str) -> None:
    from geodns.cli.readable import readable
    from geodns.console import out
    from geodns.orders.compare import text_of

    order, response = loaded.order, loaded.order.response
    places = "global" if loaded.jurisdiction is None else " ".join(loaded.jurisdiction)
    less = f" less {' '.join(loaded.except_)}" if loaded.except_ else ""
    until = f" until {loaded.expires.isoformat()}" if loaded.expires else ""
    out.line(f"{order.id}: {order.title}", style="bold")
    out.line(f"  authority  {order.authority.name} ({order.authority.kind}, {loaded.place})")
    out.line(f"  where      {places}{less}")
    out.line(f"  when       {order.status}, from {loaded.effective.isoformat()}{until}")
    for event in loaded.events:
        reason = f": {event.reason}" if event.reason else ""
        out.line(f"  event      {event.kind} {event.at.isoformat()}{reason}")
    sinkhole = f" to {' '.join(response.addresses)}" if response.addresses else ""
    out.line(f"  answer     {response.action}{sinkhole}")
    for sort in ("domains", "exact", "below", "networks", "exempt"):
        targets = getattr(loaded, sort)
        shown = ", ".join(readable(text_of(one)) for one in islice(targets, SHOWN))
        more = f", and {len(targets) - SHOWN:,} more" if len(targets) > SHOWN else ""
        if targets:
            out.line(f"  {sort:<10} {shown}{more}")
    for feed in order.feeds:
        out.line(f"  list       {feed.url or feed.path}")
    if loaded.held:
        out.line(f"  held       {len(loaded.held):,} of them, until they are acknowledged")
    out.line(f"  edition    {digest}")


def _add(path: Path, edition: Edition, approvers: Approvers, mine: Approval) -> None:
    """Put an approval into its file, if the order is still what was shown.

    Rows that do not count for this edition go: the history of the repository has them.
    """
    from geodns.orders.approval import write_approvals

    # Two people may sign at the same moment, on one share.
    with locked(path.parent):
        try:
            fresh = edition.path.read_bytes() == edition.data and all(
                (path.parent / name).read_bytes() == data for name, data in edition.lists.items()
            )
        except OSError:
            fresh = False
        if not fresh:
            told = "was changed meanwhile, or a file that it names; look at it again"
            raise InputFaults([Fault(told, str(edition.path))])
        found = approvers.look(
            edition.loaded, edition.data, edition.lists, lambda _: path.read_bytes()
        )
        kept = [row for row in found.approvals if row.by != mine.by]
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_text(write_approvals([*kept, mine]), "utf-8")
            part.replace(path)
        except OSError as error:
            told = f"cannot be written: {error.strerror or error}"
            raise InputFaults([Fault(told, str(path))]) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others who do the same out of a folder meanwhile."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
