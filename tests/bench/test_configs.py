"""The benchmark's generators write what servers read; this server runs in a tiny mode."""

from __future__ import annotations

import argparse
import shutil
import xml.etree.ElementTree as ElementTree

import pytest

from bench import report, run
from bench.peers import PEERS
from bench.peers.dnsdist import write_cdb
from bench.peers.geodns import Geodns
from bench.plot import plot
from bench.workload import COUNTRIES, Workload, client, network, places


@pytest.fixture
def work(tmp_path):
    root = tmp_path / "queries"
    root.mkdir()
    return Workload(root, 90, COUNTRIES, warm=100, cold=40)


@pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.name)
def test_a_generator_writes_the_settings_of_its_server(kind, work, tmp_path):
    if kind.name == "C echo" and kind.missing():
        pytest.skip(kind.missing())
    peer = kind(tmp_path, work, 5399, 5398)
    peer.write()
    written = [path for path in peer.root.rglob("*") if path.is_file()]
    text = b"".join(path.read_bytes() for path in written)
    if peer.changes or not peer.forwards:
        assert written
    if peer.forwards:
        assert b"5399" in text
        assert b"5398" in text
        wanted = work.first_blocked(29)
        labels = b"".join(bytes([len(part)]) + part.encode() for part in wanted.split("."))
        assert wanted.encode() in text or labels in text


def test_every_name_is_blocked_in_one_place(work):
    listed = [name for place in range(30) for name in work.blocked(place)]
    assert len(listed) == len(set(listed)) == 90
    assert len(set(places(200))) == 200
    assert network(1) == "127.41.0.0/16"
    assert client(1, 258) == "127.41.1.2"


def test_a_cdb_finds_what_was_written(tmp_path):
    data = write_cdb(tmp_path / "x.cdb", ["a.example", "b.example"]).read_bytes()
    hashed = 5381
    key = b"\1b\7example\0"
    for octet in key:
        hashed = ((hashed << 5) + hashed & 0xFFFFFFFF) ^ octet
    table = (hashed & 255) * 8
    at, slots = (int.from_bytes(data[table + n : table + n + 4], "little") for n in (0, 4))
    found = []
    for slot in range(slots):
        record = int.from_bytes(data[at + slot * 8 + 4 : at + slot * 8 + 8], "little")
        found.append(data[record + 8 : record + 8 + len(key)])
    assert key in found


def _small(tmp_path) -> argparse.Namespace:
    words = "--names 60 --cold 40 --seconds 0.2 --rounds 1 --changes 1 --pairs 1 --no-figures"
    return run.parse([*words.split(), "--only", "geodns"])


def test_the_report_tells_what_was_skipped_and_measured(tmp_path):
    figures = {"us": 2.0, "qps": 1e5, "completed": 10, "lost": 0, "blocked": 0.1}
    row = {
        "name": "geodns",
        "how": "orders",
        "forwards": True,
        "skipped": "",
        "ready": 1.0,
        "leak": 0.0,
        "warm": [figures],
        "many": [figures],
        "miss": [figures],
        "p50": [1],
        "p99": [2],
        "rss": 1.0,
        "pss": 1.0,
        "changes": [],
        "changed": "no",
    }
    absent = {**row, "name": "Unbound, views", "skipped": "unbound not installed", "warm": []}
    absent.update(many=[], miss=[], p50=[], p99=[])
    result = {
        "date": "now",
        "machine": "this, 2 cores",
        "pinned": True,
        "upstream": "NSD",
        "load_before": 0.1,
        "note": "",
        "mode": "short",
        "names": 60,
        "places": 30,
        "warm": 100,
        "cold": 40,
        "rounds": 1,
        "seconds": 1,
        "servers": [row, absent],
        "geodns": {"orders": {"failed": "why"}},
    }
    text = report.text(result)
    assert "| Unbound, views | skipped: unbound not installed |" in text
    assert "not measured: why" in text
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- bench: {name} -->\n<!-- end -->\n" for name in _BLOCKS))
    report.write(page, result)
    report.write(page, result)
    assert page.read_text().count("| geodns | 2.00 |") == 1
    plot(tmp_path / "plot.svg", result)
    assert "geodns" in (tmp_path / "plot.svg").read_text()
    ElementTree.parse(tmp_path / "plot.svg")


_BLOCKS = ("summary", "setups", "servers", "targets")


@pytest.mark.process
@pytest.mark.skipif(shutil.which("dnsperf") is None, reason="dnsperf is not installed")
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_this_server_is_measured_in_a_tiny_mode(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PEERS", (Geodns,))
    result = run.run(_small(tmp_path), tmp_path)
    (row,) = result["servers"]
    assert row["skipped"] == ""
    assert row["warm"][0]["completed"] > 0
    assert row["miss"][0]["completed"] == 40
    assert len(row["changes"]) == 1
    assert "geodns" in report.text(result)
