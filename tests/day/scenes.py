"""The scenes of the day, in the order in which they are played. Each fails where anything is not
as it has to be."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from geodns.ledger.entry import Entry
from tests.day.crowd import Crowd
from tests.day.lists import HUGE, Official, lifted
from tests.day.stage import CLIENTS, Stage, answered, blocked, contained
from tests.serve.running import Running, save

SAMPLE = 20
"""Names of each list that are asked for from every country."""
ORDER, PLACE = "it-tribunale-2026-118", "IT"
PIRATES = ("goals-live.example", "goals-mirror.example")
DRIVE = "drive.usercontent.google.com"
"""The host that was blocked by accident in Italy in October 2024."""
EVENT = '\n[[events]]\nkind = "{}"\nat = {}\nreason = "{}"\nsource = "the court\'s letter"\n'


def bare(target: str) -> str:
    """A line of kept targets, or of a list, as the name (ASCII) or address that it is about."""
    text = " ".join(target.split())
    text = text.lstrip("=@").removeprefix("*.").removesuffix("/32").rstrip(".")
    with suppress(UnicodeError):  # what is no name stays as it is
        text = text if text.isascii() else text.encode("idna").decode()
    return text


def lists_come_in(stage: Stage, server: Running) -> dict[str, list[str]]:
    """Every list is fetched and in force; returns, by place, names that stay so all day."""
    draw = random.Random(20261128)
    steady: dict[str, list[str]] = {}
    for each in stage.lists:
        enforced = stage.until(
            f"{each.ident} is in force", lambda each=each: _enforced(stage, each.ident)
        )
        kept = stage.kept(each)
        plain = {bare(name) for name in each.plain(each.first)}
        # What was taken is in the list, and nothing else is.
        assert {bare(target) for target in kept} <= plain
        held = stage.held(each.ident)
        others = {name for one in stage.lists if one is not each for name in one.plain(one.first)}
        # For clients, a name stands for itself, whatever else it stands for.
        own = {bare(one) for one in kept if one[0] not in "*@"} - held
        free = sorted(name for name in own if others.isdisjoint(_upwards(name)))
        names = draw.sample(free, min(SAMPLE, len(free)))
        contained(server, each, names)
        later = {*each.plain(each.second)} if each.place in ("CZ", "UA", "TR") else set(free)
        steady[each.place] = sorted(set(names) & later)[:5]
        assert steady[each.place]
        (state,) = _states(stage, each)
        rejected = sum(state["reasons"].values())
        told = f"{len(kept):,} targets, {rejected:,} rows rejected, {len(held):,} held"
        stage.done("06:00", f"{each.place}: {each.title}", told, enforced.at - state["fetched"])
    return steady


def lists_go_wrong(stage: Stage, server: Running) -> None:
    """One shrinks, one is an error page, one names what millions use; the rest goes on."""
    by_place = {each.place: each for each in stage.lists}
    for place, each in by_place.items():
        tag = '"first"' if place == "EE" else '"second"'
        kind = "text/html" if place == "DE" else "text/plain"
        stage.publisher.put(f"/{each.ident}", each.second, ETag=tag, Content_Type=kind)
    before = {place: stage.kept(each) for place, each in by_place.items()}
    for place, told in (("IT", "has shrunk from"), ("DE", "is an HTML page")):
        each = by_place[place]
        printed = stage.run("feeds", "refresh", each.ident, code=1)
        assert told in printed, printed
        assert stage.kept(each) == before[place]
        status = stage.until(
            "the fault is shown",
            lambda told=told: [
                fault for fault in server.status()["faults"] if told in fault["message"]
            ],
        )
        assert "the former one stays" in status[0]["message"]
        stage.done(
            "09:00", f"{place}: the list {told.removesuffix(' from')}", "the former one stays"
        )
    assert "unchanged" in stage.run("feeds", "refresh", "ee-mta")
    assert stage.publisher.asked[-1][1]["If-None-Match"] == '"first"'
    failing = [
        each for each in json.loads(stage.run("feeds", "list", "--json", code=1)) if each["fault"]
    ]
    assert [each["order"] for each in failing] == ["de-cuii", "it-agcom"]
    stage.done("09:00", "EE: the list has not changed", "not sent again (304)")
    began = time.monotonic()
    stage.run("feeds", "refresh", "cz-mfcr")
    stage.until("the new name", lambda: blocked(server, "new-today.cz.example", "CZ"))
    took = time.monotonic() - began
    assert HUGE[0] in stage.held("cz-mfcr")
    (state,) = _states(stage, by_place["CZ"])
    assert state["reasons"]["public suffix"] >= 1
    assert HUGE[1] not in {bare(target) for target in stage.kept(by_place["CZ"])}
    for name in HUGE:
        assert answered(server, name, "CZ")
    told = "docs.google.com held, s3.amazonaws.com rejected, the rest in force"
    stage.done("09:30", "CZ: the list names what millions use", told, took)
    stage.run("feeds", "refresh", "tr-usom")
    stage.done("09:30", "TR: the list grows", f"{_states(stage, by_place['TR'])[0]['added']} new")


def orders_are_lifted(stage: Stage, server: Running) -> None:
    """The Ukrainian lifting orders leave exactly the names that are still ordered."""
    (each,) = (one for one in stage.lists if one.place == "UA")
    gone = sorted(
        {bare(name) for name in lifted(each.second)} & {bare(target) for target in stage.kept(each)}
    )
    assert gone
    assert blocked(server, gone[0], "UA") or gone[0] in stage.held(each.ident)
    began = time.monotonic()
    stage.run("feeds", "refresh", each.ident)
    stage.until("lifted", lambda: answered(server, gone[0], "UA"))
    took = time.monotonic() - began
    kept = stage.kept(each)
    rows = [
        row.split("\t") for row in _kept_file(stage, each, "rejected.tsv").read_text().splitlines()
    ]
    rejected = {
        bare(text.lower().split("://")[-1].rstrip("/"))
        for _, reason, text in rows[1:]
        if reason != "duplicate"
    }
    standing = {bare(name) for name in each.plain(each.second)}
    # What was rejected is no target; all else that is still ordered is one.
    assert {bare(target) for target in kept} == standing - rejected
    for name in gone:
        assert answered(server, name, "UA"), name
    told = f"{len(gone)} lifted and answered again, exactly {len(kept):,} still ordered"
    stage.done("10:00", "UA: lifting orders", told, took)


def an_order_arrives(stage: Stage, server: Running) -> None:
    """Written, checked, signed by two; what would hit millions is held until acknowledged."""
    path = stage.order_file(PLACE, ORDER)
    deadline = (datetime.now(UTC) + timedelta(minutes=30)).isoformat(timespec="seconds")
    domains = [argument for name in (*PIRATES, DRIVE) for argument in ("--domain", name)]
    stage.run(
        *("orders", "new", ORDER, "--place", PLACE, "--authority", "Tribunale di Milano"),
        *("--kind", "court", "--reference", "R.G. 118/2026", "--title", "Live football"),
        *(*domains, "--effective", "2026-11-01", "--review", "2030-11-01"),
        *("--deadline", deadline, "--status", "active", "--source", "fax of the court"),
        *("--text", "Blocked in Italy by order of the court of Milan, R.G. 118/2026."),
        code=1,
    )
    assert path.is_file()
    checked = stage.run("orders", "check", str(path), code=1)
    assert "held until it is acknowledged" in checked
    assert "needs 2 approvals and has 0" in checked
    impact = json.loads(stage.run("orders", "impact", str(path), "--json", code=1))
    assert [each["target"] for each in impact[0]["held"]] == [DRIVE]
    assert answered(server, PIRATES[0], PLACE)
    stage.done("11:00", "IT: an order of a court arrives", "written; no force without signatures")
    stage.sign(path)
    signed = path.with_suffix(".approvals").stat().st_mtime
    stage.until("in force", lambda: blocked(server, PIRATES[0], PLACE))
    assert blocked(server, f"www.{PIRATES[1]}", PLACE)
    assert answered(server, DRIVE, PLACE)
    for place in CLIENTS:
        assert place == PLACE or answered(server, PIRATES[0], place)
    stage.until("verified", lambda: stage.entries(ORDER, "verified"))
    told = f"in force in IT alone, asked over the wire; {DRIVE} held"
    (enforced,) = stage.entries(ORDER, "enforced")
    stage.done("11:20", "IT: two people sign", told, enforced.at - signed)
    text = path.read_text().rstrip("\n")
    save(
        path,
        f'{text}\n\n[[acknowledge]]\ntarget = "{DRIVE}"\nfinding = "below-popular"\n'
        'by = "Anna Rossi, legal"\nreason = "The court named this host, for this replay."\n'
        "date = 2026-11-28\n",
    )
    stage.sign(path)
    stage.until("acknowledged", lambda: blocked(server, DRIVE, PLACE))
    assert stage.entries(ORDER, "acknowledged")
    assert len(stage.entries(ORDER, "approved")) == 4
    stage.done("12:00", "IT: the held name is acknowledged, with a reason", "in force")


def a_worker_is_killed(stage: Stage, server: Running) -> None:
    """Another takes its place, with the same orders in force."""
    status = server.status()
    victim, digest = status["workers"][0]["pid"], status["digest"]
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    stage.until(
        "replaced",
        lambda: (found := server.status())["restarts"] > status["restarts"] and found["current"],
    )
    took = time.monotonic() - began
    assert server.status()["digest"] == digest
    assert blocked(server, PIRATES[0], PLACE)
    stage.done("14:00", "a worker is killed", "replaced, the same orders in force", took)


def it_is_appealed_and_lifted(stage: Stage, server: Running) -> None:
    """Suspended and lifted by dated events: the server switches by itself, at the instant."""
    path = stage.order_file(PLACE, ORDER)
    for kind, hour, why in (
        ("suspend", "16:00", "suspended on appeal"),
        ("resume", "17:00", "the appeal is withdrawn"),
        ("lift", "18:00", "the right holder settled"),
    ):
        at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=6)
        moment = at.isoformat(timespec="seconds")
        save(path, path.read_text().rstrip("\n") + "\n" + EVENT.format(kind, moment, why))
        stage.sign(path)
        now_blocked = kind == "resume"
        if datetime.now(UTC) < at - timedelta(seconds=1):
            assert blocked(server, PIRATES[0], PLACE) != now_blocked
        seen = blocked if now_blocked else answered
        stage.until(kind, lambda seen=seen: seen(server, PIRATES[0], PLACE))
        late = (datetime.now(UTC) - at).total_seconds()
        assert late > -0.1, f"{kind}: {late} s before its instant"
        stage.done(hour, f"IT: {why}", "the server switches by itself", max(late, 0.0))
    stage.until("recorded", lambda: len(stage.entries(ORDER, "lifted")) == 2)
    # How late it was is reckoned from the instant of the event, not from when the order began.
    assert all(entry.facts["late"] < 3600 for entry in stage.entries(ORDER, "enforced"))


def night_falls(stage: Stage, server: Running, crowd: Crowd, out: Path) -> None:
    """The ledger, the proof, the receipt, the report and a map."""
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    proof = out / "proof.json"
    stage.run("prove", "--server", f"127.0.0.1:{server.port}", "-o", str(proof))
    document = json.loads(proof.read_text())
    assert document["holds"]
    walked = sum(each["networks"] for each in document["walked"].values())
    told = f"holds: {walked:,} networks, {len(document['orders'])} orders, asked over the wire"
    stage.done("20:00", "prove", told, time.monotonic() - began)
    italian = next(each for each in stage.lists if each.place == "IT")
    receipt = out / "receipt.html"
    stage.run("receipt", italian.ident, "--proof", str(proof), "--html", str(receipt))
    stage.run("receipt", ORDER, "--html", str(out / "receipt-lifted.html"))
    stage.done("20:30", "receipt", "for the Italian list, with the proof, and for the lifted order")
    drawn = min({bare(target) for target in stage.kept(italian)} - stage.held(italian.ident))
    stage.run("map", drawn, "-o", str(out / "map.svg"))
    crowd.end()
    assert not crowd.wrong, crowd.wrong[:10]
    assert crowd.unanswered == 0
    told = f"{crowd.answered:,} answered, {len(crowd.wrong)} wrong, {crowd.unanswered} lost"
    again = f", {crowd.again} asked again" if crowd.again else ""
    stage.done("21:00", "clients of seven countries, all day", told + again)


def the_books_are_closed(stage: Stage, out: Path, end: datetime) -> None:
    """After the server has stopped: the ledger holds, and the report shows it all.

    end: an instant just before the server was stopped, the end of what is reported.
    """
    told = json.loads(
        stage.run("verify", "--receipt", str(out / "receipt.html"), "--json"),
    )
    assert told["whole"]
    kinds = {entry.kind for entry in stage.entries()}
    wanted = {
        *("received", "loaded", "held", "acknowledged", "approved", "enforced", "verified"),
        *("lifted", "refused", "feed", "counts", "checkpoint", "started", "stopped"),
    }
    assert wanted <= kinds, wanted - kinds
    stage.done(
        "22:00", "verify", f"whole: {told['entries']} entries, signed up to {told['sealed']}"
    )
    # Counts belong to whole hours.
    begin = datetime.fromtimestamp(stage.entries()[0].at, UTC).replace(minute=0, second=0)
    hours = [moment.isoformat(timespec="seconds") for moment in (begin, end)]
    page, words = out / "report.html", out / "report.md"
    made = stage.run(
        "report",
        "--from",
        hours[0],
        "--to",
        hours[1],
        "--html",
        str(page),
        "--markdown",
        str(words),
        "--json",
    )
    (out / "report.json").write_text(made)
    for text in (page.read_text(), words.read_text(), made):
        for official in stage.lists:
            assert official.ident in text
        assert ORDER in text
    assert all(client not in made for client in CLIENTS.values())
    stage.done("22:30", "report", f"{page.stat().st_size >> 10} KiB of HTML, Markdown and JSON")


def _upwards(name: str) -> list[str]:
    """A name and all above it."""
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(len(labels))]


def _enforced(stage: Stage, ident: str) -> Entry | None:
    # With its list: before it is fetched, an order has no targets and is in force all the same.
    feeds = stage.entries(ident, "feed")
    return next(
        (each for each in stage.entries(ident, "enforced") if feeds and each.seq > feeds[0].seq),
        None,
    )


def _states(stage: Stage, official: Official) -> list[dict[str, Any]]:
    return [
        json.loads(path.read_text())
        for path in (stage.folder / "state" / "feeds").glob(f"{official.ident}-*/state.json")
    ]


def _kept_file(stage: Stage, official: Official, name: str) -> Path:
    (found,) = (stage.folder / "state" / "feeds").glob(f"{official.ident}-*/{name}")
    return found
