"""The life of an order in a running server, as its ledger tells it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from geodns.errors import LedgerError
from geodns.ledger.entry import Entry
from geodns.ledger.paper import read_page
from geodns.ledger.read import Ledger
from geodns.ledger.verify import verify
from tests.orders.feeds.publisher import publishing
from tests.serve.running import (
    FEED,
    IT,
    Running,
    Upstream,
    ask,
    everywhere,
    launch,
    order,
    running,
    save,
    write_settings,
)

pytestmark = pytest.mark.process
NOERROR, NXDOMAIN = 0, 3
BOUND = 30.0
CLIENT = "127.39.5.77"
PROBING = "[ledger]\nprobe = true\n"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


def told(folder: Path, ident: str | None = None) -> list[Entry]:
    try:
        ledger = Ledger(folder / "state" / "ledger.sqlite")
    except LedgerError:
        return []
    try:
        return list(ledger.entries(order=ident))
    finally:
        ledger.close()


def until(folder: Path, ident: str | None, condition: Callable[[list[Entry]], bool]) -> list[Entry]:
    end = time.monotonic() + BOUND
    while True:
        found = told(folder, ident)
        if condition(found):
            return found
        log = (folder / "log").read_text()
        assert time.monotonic() < end, f"{[(e.seq, e.kind, e.facts) for e in found]}\n{log}"
        time.sleep(0.05)


def kinds(entries: list[Entry]) -> list[str]:
    return [each.kind for each in entries]


def geodns(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "geodns", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_the_whole_life_of_an_order(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port, PROBING)
    file = tmp_path / "orders" / "IT" / "it-x.toml"
    with running(settings) as server:
        # It appears, comes into force and is verified.
        save(file, order("it-x", "x.example"))
        found = until(tmp_path, "it-x", lambda each: "verified" in kinds(each))
        assert kinds(found) == ["received", "loaded", "enforced", "verified"]
        received, loaded, enforced, verified = found
        assert received.facts["authority"] == "Tribunale"
        assert received.facts["targets"]["domains"] == 1
        assert received.facts["effective"] == "2022-07-11T00:00:00+00:00"
        assert loaded.facts["edition"] == enforced.facts["edition"] == received.facts["edition"]
        assert enforced.facts["workers"] == 2
        assert enforced.facts["received_at"] == received.at
        assert 0 <= enforced.facts["seconds"] < 10
        assert enforced.digest == server.status()["digest"]
        assert verified.facts["inside"]["place"] == "IT"
        assert verified.facts["inside"]["blocked"] is True
        assert verified.facts["inside"]["rcode"] == "NXDOMAIN"
        assert verified.facts["outside"]["place"] == "FR"
        assert verified.facts["outside"]["blocked"] is False
        assert verified.facts["outside"]["rcode"] == "NOERROR"
        for _ in range(3):
            assert ask(server.port, "www.x.example", CLIENT) == NXDOMAIN
        # A faulty edition is refused, and changes nothing.
        good = file.read_text()
        save(file, good.replace("domains", "domians"))
        until(tmp_path, None, lambda each: "refused" in kinds(each))
        assert everywhere(server.port, "x.example", NXDOMAIN)
        # It is suspended.
        save(file, good.replace('"active"', '"suspended"'))
        found = until(tmp_path, "it-x", lambda each: "lifted" in kinds(each))
        assert found[-1].facts["why"] == "suspended"
        assert found[-1].facts["edition"] == received.facts["edition"]
        assert everywhere(server.port, "x.example", NOERROR)
        # And back in force, in the edition it had.
        save(file, good)
        found = until(tmp_path, "it-x", lambda each: kinds(each)[-1:] == ["verified"])
        assert kinds(found)[-3:] == ["loaded", "enforced", "verified"]
        assert server.status()["ledger"]["fault"] is None
    entries = told(tmp_path)
    assert kinds(entries)[-3:] == ["counts", "stopped", "checkpoint"]
    # Three queries, and four self-probes are not to be told apart from them at most.
    assert 3 <= entries[-3].facts["blocks"]["IT"] <= 3 + 2 + 16
    assert "FR" not in entries[-3].facts["blocks"]
    refused = next(each for each in entries if each.kind == "refused")
    assert refused.facts["file"] == str(file)
    assert "domians" in refused.facts["faults"][0]["field"] + refused.facts["faults"][0]["message"]

    # After a restart it is in force still; it is killed, lifted meanwhile, and started again.
    process = launch(settings)
    assert process.stdout is not None
    try:
        assert process.stdout.readline()
        until(tmp_path, None, lambda each: kinds(each).count("started") == 2)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    file.unlink()
    with running(settings):
        found = until(tmp_path, "it-x", lambda each: kinds(each)[-1:] == ["lifted"])
        assert found[-1].facts["why"] == "removed"
    assert kinds(told(tmp_path, "it-x")).count("enforced") == 2

    _holds_and_is_told(tmp_path, settings)


def _holds_and_is_told(folder: Path, settings: Path) -> None:
    text = b"".join(path.read_bytes() for path in (folder / "state").glob("ledger.sqlite*"))
    assert CLIENT.encode() not in text
    assert b"www" not in text
    code, out, err = geodns("verify", "-c", str(settings), "--json")
    assert (code, err) == (0, ""), out
    assert json.loads(out)["sealed"] > 0
    page = folder / "receipt.html"
    code, out, err = geodns("receipt", "it-x", "-c", str(settings), "--html", str(page))
    assert (code, err) == (0, "")
    assert "in force  no" in out
    document = read_page(page.read_text())
    assert [each["why"] for each in document["periods"]] == ["suspended", "removed"]
    assert "its end was not recorded" in [each["why"] for each in document["interruptions"]]
    code, out, err = geodns("verify", "-c", str(settings), "--receipt", str(page))
    assert (code, err) == (0, ""), out
    page.write_text(page.read_text().replace('"suspended"', '"never"'))
    code, out, err = geodns("verify", "-c", str(settings), "--receipt", str(page))
    assert code == 1
    assert "its signature does not hold" in out
    assert geodns("receipt", "it-y", "-c", str(settings))[0] == 1


def test_a_clock_that_ends_an_order_is_told(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port, PROBING)
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6))
    text = order("it-x", "x.example").replace("[targets]", f"expires = {ends}\n[targets]")
    save(tmp_path / "orders" / "IT" / "it-x.toml", text)
    with running(settings):
        found = until(tmp_path, "it-x", lambda each: "lifted" in kinds(each))
    assert found[-1].facts["why"] == "expired"
    assert found[-1].facts["edition"] == found[0].facts["edition"]


def test_changes_wait_while_the_ledger_cannot_be_written_and_serving_goes_on(
    tmp_path: Path, upstream: Upstream
) -> None:
    settings = write_settings(tmp_path, upstream.port, PROBING)
    folder = tmp_path / "orders" / "IT"
    save(folder / "it-x.toml", order("it-x", "x.example"))
    state = tmp_path / "state"
    with running(settings) as server:
        until(tmp_path, "it-x", lambda each: "verified" in kinds(each))
        # A folder in its place: nobody can write that, root not excepted.
        for path in state.glob("ledger.sqlite*"):
            path.rename(tmp_path / path.name)
        (state / "ledger.sqlite").mkdir()
        save(folder / "it-y.toml", order("it-y", "y.example"))
        save(folder / "it-x.toml", order("it-x", "z.example"))
        status = server.until("told", lambda found: found["ledger"]["fault"] and found["faults"])
        assert "wait, since the ledger cannot be written" in status["faults"][0]["message"]
        time.sleep(3)
        assert everywhere(server.port, "x.example", NXDOMAIN)
        assert everywhere(server.port, "y.example", NOERROR)
        (state / "ledger.sqlite").rmdir()
        for path in tmp_path.glob("ledger.sqlite*"):
            path.rename(state / path.name)
        found = until(tmp_path, "it-y", lambda each: "verified" in kinds(each))
        assert kinds(found) == ["received", "loaded", "enforced", "verified"]
        assert everywhere(server.port, "y.example", NXDOMAIN)
        assert everywhere(server.port, "x.example", NOERROR)
        server.until("settled", lambda found: not found["ledger"]["fault"] and not found["faults"])
    assert verify(state / "ledger.sqlite").whole


def test_after_the_wait_changes_are_put_in_force_and_recorded_later(
    tmp_path: Path, upstream: Upstream
) -> None:
    settings = write_settings(tmp_path, upstream.port, "[ledger]\nwait = 3\nprobe = false\n")
    state = tmp_path / "state"
    (state / "ledger.sqlite").mkdir(parents=True)
    with running(settings) as server:
        assert server.status()["ledger"]["fault"]
        save(tmp_path / "orders" / "IT" / "it-y.toml", order("it-y", "y.example"))
        server.until("in force", lambda found: [each["id"] for each in found["orders"]] == ["it-y"])
        assert everywhere(server.port, "y.example", NXDOMAIN)
        (state / "ledger.sqlite").rmdir()
        found = until(tmp_path, "it-y", lambda each: "enforced" in kinds(each))
        assert kinds(found) == ["received", "loaded", "enforced"]
    assert "verified" not in kinds(told(tmp_path))
    assert verify(state / "ledger.sqlite").whole


@pytest.mark.parametrize("native", [True, False])
def test_kill_9_again_and_again(tmp_path: Path, upstream: Upstream, native: bool) -> None:
    settings = write_settings(tmp_path, upstream.port, PROBING, workers=1)
    file = tmp_path / "orders" / "IT" / "it-x.toml"
    heads: dict[int, str] = {}
    for round_ in range(4):
        save(file, order("it-x", f"x{round_}.example"))
        environment = dict(os.environ) if native else {**os.environ, "GEODNS_PURE": "1"}
        environment.pop("GEODNS_REQUIRE_NATIVE", None)
        with (tmp_path / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "geodns", "serve", "-c", str(settings)],
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        try:
            if round_ % 2:
                known = len(told(tmp_path))
                until(tmp_path, None, lambda each, known=known: len(each) > known)
            else:
                until(tmp_path, "it-x", lambda each: kinds(each)[-1:] == ["verified"])
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        heads |= {each.seq: each.hash.hex() for each in told(tmp_path)}
    found: dict[str, Any] = verify(tmp_path / "state" / "ledger.sqlite", heads=heads).as_json()
    assert found["whole"], found["breaks"]


def test_orders_are_verified_in_subdivisions_networks_and_below_names(
    tmp_path: Path, upstream: Upstream
) -> None:
    settings = write_settings(tmp_path, upstream.port, PROBING)
    states = "127.1.0.0/16,US,US-CA,,\n127.2.0.0/16,US,US-NY,,\n"
    (tmp_path / "feed.csv").write_text(FEED + states)
    folder = tmp_path / "orders" / "US"
    folder.mkdir(parents=True)
    save(folder / "us-ca.toml", order("us-ca", "ca.example", jurisdiction='["US-CA"]'))
    below = order("us-below").replace("domains = []", 'below = ["below.example"]')
    save(folder / "us-below.toml", below)
    nets = order("us-nets").replace("domains = []", 'networks = ["198.51.100.0/24"]')
    save(folder / "us-nets.toml", nets)
    world = order("us-world", "world.example", jurisdiction='"global"', global_reason='"test"')
    save(folder / "us-world.toml", world)
    with running(settings) as server:
        status = server.until("told", lambda found: "us-nets" in found["unverified"])
        assert "no name" in status["unverified"]["us-nets"]
        entries = until(tmp_path, None, lambda each: kinds(each).count("verified") == 3)
    found = {each.order: each.facts for each in entries if each.kind == "verified"}
    assert found["us-ca"]["inside"]["place"] == "US-CA"
    assert found["us-ca"]["inside"]["address"].startswith("127.1.")
    assert found["us-below"]["name"] == "probe.below.example"
    assert found["us-world"]["outside"] is None


def test_nobody_else_is_believed(tmp_path: Path, upstream: Upstream) -> None:
    """Of the whole of 127.0.0.0/8 only the server's own address may say where a client is."""
    settings = write_settings(tmp_path, upstream.port, PROBING)
    save(tmp_path / "orders" / "IT" / "it-x.toml", order("it-x", "x.example"))
    with running(settings) as server:
        until(tmp_path, "it-x", lambda each: "verified" in kinds(each))
        assert _asked_through(server, "127.0.0.9") != NXDOMAIN
        status = json.dumps(server.status())
    for entry in told(tmp_path):
        status += json.dumps(entry.as_json())
    assert '"proxy"' not in status


def _asked_through(server: Running, source: str) -> int | None:
    import asyncio
    from ipaddress import ip_address

    from geodns.serve import selfprobe
    from tests.serve.running import wire

    found = selfprobe.ask(
        ("127.0.0.1", server.port), source, wire("x.example"), ip_address(IT).packed
    )
    try:
        return {"NXDOMAIN": NXDOMAIN}.get(asyncio.run(found).rcode)
    except (OSError, ValueError):
        return None


def test_what_is_held_and_acknowledged_is_told(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port, PROBING)
    file = tmp_path / "orders" / "IT" / "it-x.toml"
    text = order("it-x", "co.uk", "x.example")
    save(file, text)
    with running(settings) as server:
        found = until(tmp_path, "it-x", lambda each: "verified" in kinds(each))
        assert kinds(found) == ["received", "loaded", "held", "enforced", "verified"]
        received, _, held, enforced, verified = found
        assert held.facts["targets"] == ["co.uk"]
        assert held.facts["findings"] == ["public-suffix"]
        assert enforced.facts["edition"] == received.facts["edition"] != enforced.facts["form"]
        assert enforced.facts["received_at"] == received.at
        assert verified.facts["name"] == "x.example"
        assert everywhere(server.port, "a.co.uk", NOERROR)
        save(
            file,
            text + '[[acknowledge]]\ntarget = "co.uk"\nfinding = "public-suffix"\n'
            'by = "A. Person"\nreason = "ordered so"\ndate = 2026-01-01\n',
        )
        found = until(tmp_path, "it-x", lambda each: kinds(each).count("verified") == 2)
        assert kinds(found)[5:] == ["received", "loaded", "acknowledged", "enforced", "verified"]
        assert found[7].facts["by"] == "A. Person"
        assert found[8].facts["edition"] == found[8].facts["form"]
        assert everywhere(server.port, "a.co.uk", NXDOMAIN)


def test_a_new_edition_of_an_official_list_is_told(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port, PROBING)
    with publishing() as publisher:
        url = publisher.put("/list", "n1.example\nn2.example\n")
        text = order("it-fed").replace("domains = []", f'[[feeds]]\nurl = "{url}"\nrefresh = "1m"')
        save(tmp_path / "orders" / "IT" / "it-fed.toml", text)
        with running(settings):
            found = until(tmp_path, "it-fed", lambda each: "verified" in kinds(each))
            first = next(each for each in found if each.kind == "feed")
            assert first.facts["source"] == url
            assert (first.facts["taken"], first.facts["gone"]) == (2, 0)
            assert len(first.facts["sha256"]) == 64
            publisher.put("/list", "n2.example\nn3.example\n")
            code, out, err = geodns("feeds", "refresh", "-c", str(settings), "it-fed")
            assert code == 0, out + err
            found = until(tmp_path, "it-fed", lambda each: kinds(each).count("feed") == 2)
            second = [each for each in found if each.kind == "feed"][1]
            assert (second.facts["added"], second.facts["gone"]) == (1, 1)
            until(tmp_path, "it-fed", lambda each: kinds(each).count("verified") == 2)
