"""``geodns verify`` and ``geodns receipt``: what the ledger proves."""

from __future__ import annotations

import json
import sys
import time
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodns.cli.options import Config, Json
from geodns.errors import Fault, GeodnsError, InputFaults, LedgerError

if TYPE_CHECKING:
    from geodns.ledger.verify import Verdict
    from geodns.settings import Settings

At = Annotated[
    Path | None,
    typer.Option(
        "--ledger",
        metavar="FILE",
        help="A ledger, such as a copy. Without it: that of the settings.",
        show_default=False,
    ),
]


class BrokenError(GeodnsError):
    """The ledger does not hold, or knows nothing of what was asked."""

    exit_code = 1


def verify(
    ledger: At = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="BASE64",
            help="The public key that signed. Without it: of ledger.key in the state folder, where"
            " that can be read.",
            show_default=False,
        ),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SEQ:HASH",
            help="A hash known from elsewhere, as from the log. Can be given again.",
            show_default=False,
        ),
    ] = None,
    receipt: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A receipt (HTML or JSON) whose signature and entries must hold too.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Check the ledger: every entry's hash, that none is missing, every signature.

    Says where it breaks, with exit code 1. What was cut off at the end, or written anew with
    another key, shows only against what is known from elsewhere: --key, --head, --receipt.

    Example: geodns verify --receipt receipt.html
    """
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.ledger.verify import Break
    from geodns.ledger.verify import verify as check

    _demand_key(key)
    settings = load_settings(config)
    path, own = paths(settings, ledger)
    known = _heads(head or ())
    unsigned = None
    if receipt is not None:
        told, unsigned = _read_receipt(receipt, key)
        known |= told
    verdict = check(path, key or (None if ledger else own), known)
    if unsigned is not None:
        verdict.breaks.append(Break(None, f"{receipt}: {unsigned}"))
    if as_json:
        out.document(verdict.as_json())
    else:
        _show(verdict)
    if unsigned is not None and len(verdict.breaks) == 1:
        raise BrokenError(f"{receipt}: the receipt does NOT hold; the ledger does")
    if not verdict.whole:
        raise BrokenError(f"{path}: the ledger does NOT hold")


def receipt(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")],
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page to be printed and filed; - for stdout.",
            show_default=False,
        ),
    ] = None,
    proof: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Include a proof of containment: what geodns prove --json gave.",
            show_default=False,
        ),
    ] = None,
    ledger: At = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a receipt of an order: what was received when, and when it was in force.

    It is signed with the node's key where that can be read. A ledger that does not hold, or that
    knows nothing of the order, gives exit code 1.

    Example: geodns receipt it-milano-2022-cloudflare --html receipt.html
    """
    from geodns.cli.writing import write
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.ledger.paper import page
    from geodns.ledger.read import Ledger
    from geodns.ledger.receipt import RECEIPT
    from geodns.ledger.receipt import receipt as make
    from geodns.ledger.seal import KEY, Seal
    from geodns.ledger.verify import verify as check

    settings = load_settings(config)
    path, own = paths(settings, ledger)
    verdict = check(path, None if ledger else own)
    reading = Ledger(path)
    try:
        document = make(order, reading.entries(), verdict, time.time(), _read_proof(proof, order))
    finally:
        reading.close()
    if not document["events"]:
        raise BrokenError(f"{path}: nothing is recorded of an order {order!r}")
    try:
        document = Seal.read(settings.server.state / KEY).document(RECEIPT, document)
    except LedgerError as error:
        print(f"geodns: the receipt is not signed: {error}", file=sys.stderr)  # noqa: T201
    if html is not None and str(html) != "-":
        write(html, page(document))
    if as_json:
        out.document(document)
    elif html is not None and str(html) == "-":
        sys.stdout.write(page(document))
    else:
        _tell(document)
        if html is not None:
            out.line(f"written to {html}")
    if not verdict.whole:
        raise BrokenError(f"{path}: the ledger does NOT hold: {verdict.breaks[0]}")


def paths(settings: Settings, ledger: Path | None) -> tuple[Path, str | None]:
    """The ledger's file, and the node's public key where its key file can be read."""
    from geodns.ledger.file import LEDGER
    from geodns.ledger.seal import KEY, Seal

    state = settings.server.state
    try:
        own = Seal.read(state / KEY).key
    except LedgerError:
        own = None
    return ledger or settings.ledger.path or state / LEDGER, own


def _heads(texts: list[str] | tuple[str, ...]) -> dict[int, str]:
    found = {}
    for text in texts:
        seq, _, told = text.partition(":")
        try:
            if int(seq) < 1 or len(bytes.fromhex(told)) != 32:
                raise ValueError
        except ValueError:
            message = f"--head: {text!r} is no number with a hash; write 12:HASH (64 digits)"
            raise InputFaults([Fault(message)]) from None
        found[int(seq)] = told.lower()
    return found


def _read_receipt(path: Path, key: str | None) -> tuple[dict[int, str], str | None]:
    """The hashes that a receipt tells, and what is wrong with its signature."""
    from geodns.ledger.paper import page, read_page
    from geodns.ledger.receipt import RECEIPT, heads
    from geodns.ledger.seal import document_message
    from geodns.model.signature import holds

    try:
        text = path.read_text("utf-8")
        document = read_page(text)
        known = heads(document)
    except ValueError:
        raise InputFaults([Fault("holds no receipt", str(path))]) from None
    signed = document.get("signed")
    if not isinstance(signed, dict):
        return known, "is not signed"
    if key is not None and signed.get("key") != key:
        return known, f"is signed with another key: {signed.get('key')}"
    message = document_message(RECEIPT, document)
    good = holds(signed.get("key"), signed.get("signature"), message)
    if not good:
        return known, "was changed: its signature does not hold"
    if not text.lstrip().startswith("{") and text != page(document):
        return known, (
            "the page does not say what its signed text says: it was changed, or saved or made by"
            " another program than this version of geodns"
        )
    return known, None


def _demand_key(key: str | None) -> None:
    """Raise InputFaults for what is no public key."""
    try:
        good = key is None or len(b64decode(key, validate=True)) == 32
    except ValueError:
        good = False
    if not good:
        told = f"--key: {key!r} is no Ed25519 public key: 44 characters of base64"
        raise InputFaults([Fault(told)])


def _read_proof(path: Path | None, order: str) -> dict[str, Any] | None:
    """What a proof (geodns prove) says of one order, if its signature holds."""
    from hashlib import sha256

    from geodns.ledger.receipt import PROOF
    from geodns.ledger.seal import document_message
    from geodns.model.signature import holds

    if path is None:
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        signed = found["signed"]
        message = document_message(PROOF, found)
        good = holds(signed["key"], signed["signature"], message)
        told = [each for each in found["orders"] if each["order"] == order]
    except (ValueError, KeyError, TypeError):
        raise InputFaults([Fault("is no document of geodns prove", str(path))]) from None
    if not good:
        raise InputFaults([Fault("was changed: its signature does not hold", str(path))])
    if not told:
        raise InputFaults([Fault(f"does not tell of the order {order!r}", str(path))])
    kept = {key: found.get(key) for key in ("at", "digest", "program", "walked", "holds")}
    return {**kept, "about": told[0], "sha256": sha256(message).hexdigest(), "key": signed["key"]}


def _show(verdict: Verdict) -> None:
    from geodns.console import out
    from geodns.ledger.receipt import instant

    out.line(f"ledger       {verdict.path}")
    out.line(f"entries      {verdict.entries}")
    if verdict.first is not None and verdict.last is not None:
        out.line(f"from, until  {instant(verdict.first)}, {instant(verdict.last)}")
    out.line(f"last hash    {verdict.head[0]}:{verdict.head[1]}")
    out.line(f"checkpoints  {verdict.checkpoints}, the last one after entry {verdict.sealed}")
    for key in verdict.keys:
        out.line(f"signed with  {key}")
    for broken in verdict.breaks:
        out.line(f"BROKEN       {broken}", style="bold red")
    if verdict.whole:
        out.line("whole        every entry, link and signature holds", style="bold green")


def _tell(document: dict[str, Any]) -> None:
    from geodns.console import out
    from geodns.ledger.receipt import DEADLINE

    about = document["about"] or {}
    out.line(f"order     {document['order']}: {about.get('title', 'nothing is known of it')}")
    if about:
        out.line(f"authority {about['authority']} ({about['kind']}, {about['place']})")
    out.line(f"in force  {'yes' if document['in_force'] else 'no'}")
    if (deadline := document["deadline"]) is not None:
        out.line(f"deadline  {deadline['at']}: {DEADLINE[deadline['met']]}")
    for period in document["periods"]:
        until = f"{period['until']} ({period['why']})" if period["until"] else "now"
        out.line(f"          {period['from']} to {until}{' in shadow' * period['shadow']}")
    rows = [
        (
            *(str(event["seq"]), event["at"], event["kind"]),
            str(event["facts"].get("detail") or event["facts"].get("why") or ""),
            (event["digest"] or "none")[:12],
        )
        for event in document["events"]
    ]
    out.line()
    out.table(("entry", "when", "what", "why", "snapshot"), rows)
    out.line()
    head = document["ledger"]["head"]
    out.line(f"last hash {head['seq']}:{head['hash']}")
    signed = document.get("signed")
    out.line(f"signed    {signed['key'] if signed else 'NO'}")
