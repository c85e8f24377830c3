"""A receipt on paper: one self-contained HTML page to be read, printed and filed.

The signed document itself is in the page, so that the page can be checked by a machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from geodns.ledger.receipt import DEADLINE, STOPPED

STYLE = """
:root { color-scheme: light; font: 10.5pt/1.4 "Liberation Serif", "Times New Roman", serif }
body { max-width: 18.5cm; margin: 1.2cm auto; padding: 0 .6cm; color: #111; background: #fff }
h1 { font-size: 17pt; margin: 0 0 .1cm } h2 { font-size: 12pt; margin: .5cm 0 .12cm }
p { margin: .12cm 0 } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .07cm .25cm .07cm 0 }
code.short { white-space: nowrap } section td { font-size: 9.5pt }
tr { border-bottom: 1px solid #ccc }
th { font-weight: 600; color: #333 } table.facts th { width: 4.6cm; white-space: nowrap }
code { font: 8.5pt/1.35 "Liberation Mono", monospace; overflow-wrap: anywhere }
.state { border: 1.5px solid #111; padding: .2cm .35cm; margin: .3cm 0; font-size: 11.5pt }
.broken { border-color: #a00; color: #a00; font-weight: 600 } .small { font-size: 9pt; color: #333 }
time, .nowrap { white-space: nowrap } h2, thead { break-after: avoid } tr { break-inside: avoid }
@page { size: A4; margin: 1.5cm } @media print { body { margin: 0; padding: 0; max-width: none } }
"""
_EMBEDDED = re.compile(r'<script type="application/json" id="receipt">(.*?)</script>', re.DOTALL)
MOST_ROWS = 20
"""Rows of a table at most: the newest."""
_NAMES = {
    "received": "received",
    "loaded": "taken in",
    "held": "partly held back",
    "acknowledged": "held target let into force",
    "approved": "approved by a person",
    "enforced": "in force on all workers",
    "lifted": "out of force",
    "refused": "an edition was refused",
    "feed": "new edition of an official list",
}


def page(document: Mapping[str, Any]) -> str:
    """The page of a receipt (receipt.py), signed or not."""
    order, ledger = document["order"], document["ledger"]
    body = [
        f"<h1>Receipt for order {escape(order)}</h1>",
        f"<p class=small>Made {_time(document['made'])} from the ledger of"
        f" {escape(', '.join(document['nodes']) or 'a server that never started')}."
        " Times are UTC where no offset is shown.</p>",
        _state(document),
        _section("The order", _about(document["about"], document["deadline"])),
        _section("In force", _periods(document)),
        _section("Asked over the wire", _probes(document["events"])),
        _section("What happened", _events(document)),
    ]
    if document["blocked"]:
        total = sum(document["blocked"].values())
        places = ", ".join(f"{escape(place)} {n}" for place, n in document["blocked"].items())
        body.append(_section("Blocked queries", f"<p>{total} in all, by place: {places}.</p>"))
    if document["proof"] is not None:
        body.append(_section("Proof of containment", _proof(document["proof"])))
    body.append(_section("How this can be checked", _checks(document, ledger)))
    # No "<" of a title may end the script.
    data = json.dumps(document, ensure_ascii=False).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Receipt {escape(order)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + f'\n<script type="application/json" id="receipt">{data}</script>\n</body></html>\n'
    )


def read_page(text: str) -> dict[str, Any]:
    """The document in a page, or that the text is itself (JSON). ValueError if there is none."""
    found = _EMBEDDED.search(text)
    document = json.loads(found[1] if found else text)
    if not isinstance(document, dict) or "receipt" not in document:
        raise ValueError("holds no receipt")
    return document


def _state(document: Mapping[str, Any]) -> str:
    if not document["ledger"]["whole"]:
        first = escape(document["ledger"]["breaks"][0])
        return f"<p class='state broken'>The ledger is BROKEN and proves nothing: {first}.</p>"
    periods = document["periods"]
    if not periods:
        return "<p class=state>This order has never been in force on this server.</p>"
    last = periods[-1]
    if document["in_force"]:
        shadow = " in shadow (recorded, not blocked)" if last["shadow"] else ""
        return f"<p class=state>In force{shadow} since {_time(_since(periods))}.</p>"
    if last["until"] is None:
        return "<p class=state>In force until the server was stopped; it has not started since.</p>"
    return (
        f"<p class=state>Out of force since {_time(last['until'])}"
        f" ({escape(str(last['why']))}).</p>"
    )


def _since(periods: list[Mapping[str, Any]]) -> str:
    """From when on it has been in force without a break, whatever its editions were."""
    since = periods[-1]
    for earlier in reversed(periods[:-1]):
        if earlier["until"] != since["from"] or earlier["shadow"] != since["shadow"]:
            break
        since = earlier
    return str(since["from"])


def _about(about: Mapping[str, Any] | None, deadline: Mapping[str, str] | None) -> str:
    if about is None:
        return "<p>Nothing was recorded of what it orders.</p>"
    where = about["jurisdiction"]
    where = "everywhere" if where == "global" else ", ".join(where)
    if about.get("except"):
        where += f", except {', '.join(about['except'])}"
    targets = ", ".join(f"{count} {sort}" for sort, count in about["targets"].items() if count)
    rows = [
        ("Title", about["title"]),
        ("Authority", f"{about['authority']} ({about['kind']}, {about['place']})"),
        ("Reference", about.get("reference")),
        ("Where it has force", where),
        ("Status in its file", about["status"]),
        *((name.capitalize(), about.get(name)) for name in ("issued", "effective")),
        ("Deadline", deadline and f"{deadline['at']}: {DEADLINE[deadline['met']]}"),
        ("Expires", about.get("expires")),
        ("Targets", targets),
    ]
    told = [(name, escape(str(value))) for name, value in rows if value]
    return _facts([*told, ("Edition (SHA-256)", f"<code>{escape(about['edition'])}</code>")])


def _periods(document: Mapping[str, Any]) -> str:
    if not document["periods"]:
        return "<p>Never.</p>"
    rows = [
        (
            _time(period["from"]),
            "now" if period["until"] is None else _time(period["until"]),
            escape(str(period["why"] or "")) + (" (shadow)" if period["shadow"] else ""),
            f"{period['seconds']} s after receipt, on {period['workers']} workers",
            f"<code class=short>{escape(str(period['digest'])[:12])}</code>",
        )
        for period in document["periods"]
    ]
    left = len(rows) - MOST_ROWS
    told = _table(("from", "until", "ended by", "carried out", "snapshot"), rows[-MOST_ROWS:])
    told += _left(left) if left > 0 else ""
    for gap in document["interruptions"]:
        end = "now" if gap["until"] is None else _time(gap["until"])
        ran = "did not run" if gap["why"] == STOPPED else "may not have run"
        told += (
            f"<p>Between {_time(gap['from'])} and {end} the server {ran}: {escape(gap['why'])}.</p>"
        )
    return told


def _probes(events: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (
            _time(event["at"]),
            escape(str(event["facts"].get("name", ""))),
            *(_probe(event["facts"].get(where)) for where in ("inside", "outside")),
        )
        for event in events
        if event["kind"] == "verified"
    ]
    if not rows:
        return "<p>No reply of the running server has shown it (yet).</p>"
    left = len(rows) - MOST_ROWS
    return _table(("when", "asked for", "from inside", "from outside"), rows[-MOST_ROWS:]) + (
        _left(left) if left > 0 else ""
    )


def _probe(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "there is no outside"
    blocked = "blocked" if found["blocked"] else "not blocked"
    return escape(f"{found['place']} ({found['address']}): {blocked}, {found['rcode']}")


def _events(document: Mapping[str, Any]) -> str:
    rows = [
        (
            str(event["seq"]),
            _time(event["at"]),
            escape(_NAMES.get(event["kind"], event["kind"])),
            escape(_detail(event["kind"], event["facts"])),
        )
        for event in document["events"]
        if event["kind"] not in ("loaded", "verified")
    ]
    left = document["events_left_out"] + max(len(rows) - MOST_ROWS, 0)
    told = _table(("entry", "when", "what", "details"), rows[-MOST_ROWS:])
    return told + (_left(left) if left else "")


def _left(count: int) -> str:
    return f"<p class=small>{count} older ones are in the ledger.</p>"


def _detail(kind: str, facts: Mapping[str, Any]) -> str:
    if kind == "received":
        return f"edition {facts['edition'][:12]}, status {facts['status']}"
    if kind == "enforced":
        return f"edition {facts['edition'][:12]}, {facts['seconds']} s after receipt"
    if kind == "lifted":
        return str(facts.get("detail") or facts["why"])
    if kind == "held":
        return (
            f"{facts.get('count', len(facts['targets']))} held: {', '.join(facts['targets'][:5])}"
        )
    if kind == "acknowledged":
        return f"{facts['target']} ({facts['finding']}), by {facts['by']}: {facts['reason']}"
    if kind == "approved":
        return f"by {facts['by']} at {facts['at']}, edition {facts['edition'][:12]}"
    if kind == "feed":
        return (
            f"{facts['source']}: {facts['taken']} targets,"
            f" {facts['added']} new, {facts['gone']} gone"
        )
    return ""


def _proof(proof: Mapping[str, Any]) -> str:
    walked = sum(each.get("networks", 0) for each in (proof["walked"] or {}).values())
    rows = [
        ("Made", f"{_time(proof['at'])}, of the snapshot <code>{escape(proof['digest'])}</code>"),
        ("Networks looked at", f"{walked:,}: all that the databases hold"),
    ]
    for group in proof["about"].get("groups", ()):
        counts = ", ".join(
            f"{group[family]['prefixes']:,} {name} prefixes"
            for family, name in (("ipv4", "IPv4"), ("ipv6", "IPv6"))
            if family in group
        )
        rows.append((f"Has force in {group['place']}", counts))
    holds = "and for no other client" if proof["holds"] else "but the proof does NOT hold"
    rows.append(("Result", f"replies change for these, {holds}"))
    rows.append(("Proof (SHA-256)", f"<code>{escape(proof['sha256'])}</code>"))
    return _facts(rows)


def _checks(document: Mapping[str, Any], ledger: Mapping[str, Any]) -> str:
    head = ledger["head"]
    signed = document.get("signed")
    rows = [
        ("Ledger", f"{ledger['entries']} entries, whole; signed up to entry {ledger['sealed']}"),
        (f"Hash of entry {head['seq']}", f"<code>{escape(head['hash'])}</code>"),
    ]
    if not ledger["whole"]:
        rows[0] = ("Ledger", escape("; ".join(ledger["breaks"][:5])))
    if signed is None:
        rows.append(("Signature", "none: the node's key could not be used"))
    else:
        rows.append(("Public key (Ed25519)", f"<code>{escape(signed['key'])}</code>"))
        rows.append(("Signature", f"<code>{escape(signed['signature'])}</code>"))
    return (
        "<p>Every entry holds the hash of the one before, so that none can be changed, removed or"
        " added without breaking the chain. <code>geodns verify --receipt FILE</code> compares"
        " this page, which holds its own text in machine-readable form, with the ledger.</p>"
        + _facts(rows)
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{text}</td></tr>" for name, text in rows
    )
    return f"<table class=facts>{cells}</table>"


def _table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f"<th scope=col>{name}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _time(text: str) -> str:
    shown = text[:19].replace("T", " ")
    return f"<time datetime='{escape(text)}'>{escape(shown)}</time>"
