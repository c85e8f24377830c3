"""``geodns orders approve``: a person signs the edition of an order that is to have force."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodns.cli.options import Config, Json
from geodns.errors import Fault, InputFaults, LedgerError, OrderError

if TYPE_CHECKING:
    from geodns.ledger.seal import Seal
    from geodns.orders.approval import Approvers
    from geodns.orders.guard.judge import Known
    from geodns.orders.loaded import Approval, LoadedOrder


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
    read = [(_load(path, known), path) for path in files]
    documents = []
    for loaded, path in read:
        documents.append(_approve(loaded, path, by, seal, approvers, yes=yes, quiet=as_json))
    if as_json:
        out.document(documents)
    if not all(document["signed"] for document in documents):
        raise typer.Exit(1)


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


def _load(path: Path, known: Known) -> LoadedOrder:
    from geodns.orders.load import load_path

    if not path.is_file():
        raise InputFaults([Fault("is no file", str(path))])
    loaded = load_path(path, known)
    if loaded.faults:
        raise OrderError(loaded.faults)
    return loaded.orders[0]


def _approve(
    loaded: LoadedOrder,
    path: Path,
    by: str,
    seal: Seal,
    approvers: Approvers,
    *,
    yes: bool,
    quiet: bool,
) -> dict[str, Any]:
    from geodns.console import out
    from geodns.orders.approval import SUFFIX, content_digest, message
    from geodns.orders.loaded import Approval

    def fetch(name: str) -> bytes:
        return (path.parent / name).read_bytes()

    data = path.read_bytes()
    digest = content_digest(loaded, data, fetch)
    if not quiet:
        _show(loaded, digest)
    signed = yes or typer.confirm(f"Sign it as {by}?")
    # What was read, shown and is signed must be one edition.
    if digest != content_digest(loaded, path.read_bytes(), fetch):
        raise InputFaults([Fault("was changed meanwhile; look at it again", str(path))])
    if signed:
        at = datetime.now(UTC).replace(microsecond=0)
        signature = seal.sign(message(loaded.order.id, digest, by, at))
        _add(path.with_name(loaded.order.id + SUFFIX), Approval(by, at, digest, signature))
    found = approvers.look(loaded, data, fetch)
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
    from geodns.console import out
    from geodns.orders.guard.review import targets_of

    order = loaded.order
    places = "global" if loaded.jurisdiction is None else " ".join(loaded.jurisdiction)
    less = f" less {' '.join(loaded.except_)}" if loaded.except_ else ""
    until = f" until {loaded.expires.isoformat()}" if loaded.expires else ""
    out.line(f"{order.id}: {order.title}", style="bold")
    out.line(f"  authority  {order.authority.name} ({order.authority.kind}, {loaded.place})")
    out.line(f"  where      {places}{less}")
    out.line(f"  when       {order.status}, from {loaded.effective.isoformat()}{until}")
    out.line(f"  targets    {targets_of(loaded):,}, of them {len(loaded.held):,} held")
    out.line(f"  edition    {digest}")


def _add(path: Path, mine: Approval) -> None:
    """Put an approval into its file; those of other editions go, the history has them."""
    from geodns.orders.approval import read_approvals, write_approvals

    try:
        rows = read_approvals(path.read_bytes()) if path.exists() else []
    except ValueError as error:
        raise InputFaults([Fault(str(error), str(path))]) from None
    kept = [row for row in rows if row.edition == mine.edition and row.by != mine.by]
    part = path.with_name(path.name + ".part")
    part.write_text(write_approvals([*kept, mine]), "utf-8")
    part.replace(path)
