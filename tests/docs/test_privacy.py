"""What the privacy statement claims, of a running server with everything on."""

from __future__ import annotations

import re
import socket
import struct
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.running import (
    Upstream,
    ask,
    order,
    query,
    running,
    save,
    wire,
    write_settings,
)
from tests.transcripts import ROOT, free_port

PAGE = (ROOT / "docs" / "privacy.md").read_text("utf-8")
CLIENTS = ("127.39.201.77", "127.33.203.79")
"""One in Italy, one in France; each asks by itself."""
PROXY, TOLD_BY_PROXY = "127.0.0.77", "127.39.205.83"
TRUSTED, TOLD_BY_ECS = "127.0.0.78", "127.39.207.89"
FREE, BLOCKED = "visitor-4711.free.example", "visitor-4712.blocked.example"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


def over_tcp(port: int, source: str, name: str) -> int:
    with socket.create_connection(("127.0.0.1", port), 5, (source, 0)) as connection:
        message = query(7, name)
        connection.sendall(struct.pack("!H", len(message)) + message)
        return connection.recv(4096)[2 + 3] & 15


def exchange(port: int, source: str, message: bytes) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(5)
        sock.sendto(message, ("127.0.0.1", port))
        return sock.recv(4096)[3] & 15


def through_proxy(port: int, name: str) -> int:
    ends = (
        socket.inet_aton(TOLD_BY_PROXY) + socket.inet_aton("127.0.0.1") + struct.pack("!HH", 9, 53)
    )
    header = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x12" + struct.pack("!H", len(ends)) + ends
    return exchange(port, PROXY, header + query(8, name))


def with_ecs(port: int, name: str) -> int:
    option = struct.pack("!HHHBB", 8, 8, 1, 32, 0) + socket.inet_aton(TOLD_BY_ECS)
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(option)) + option
    message = query(9, name)
    return exchange(port, TRUSTED, message[:10] + b"\0\1" + message[12:] + opt)


@pytest.mark.process
def test_no_address_and_no_free_name_is_kept_anywhere(tmp_path: Path, upstream: Upstream) -> None:
    figures_port = free_port()
    rulings = tmp_path / "rulings.log"
    more = (
        f'[metrics]\nlisten = "127.0.0.1:{figures_port}"\n[log]\nrulings = "{rulings}"\n'
        f'level = "debug"\n[trust]\nproxy = ["{PROXY}"]\necs = ["{TRUSTED}"]\n'
        "[limits]\nresponses_per_second = 1000\n"
    )
    settings = write_settings(tmp_path, upstream.port, more)
    save(tmp_path / "orders" / "IT" / "it-x.toml", order("it-x", "blocked.example"))
    with running(settings) as server:
        italian, french = CLIENTS
        for name, there in ((BLOCKED, 3), (FREE, 0)):
            for _ in range(2):
                assert ask(server.port, name, italian) == there
                assert ask(server.port, name, french) == 0
                assert over_tcp(server.port, italian, name) == there
                assert through_proxy(server.port, name) == there
                assert with_ecs(server.port, name) == there
        # Blocks are counted by the second, and entered into the ledger at the latest at the end.
        status = server.until("blocks are counted", lambda told: _blocks(told["counters"]) >= 8)
        with urllib.request.urlopen(f"http://127.0.0.1:{figures_port}/metrics") as reply:
            figures = reply.read()
        end = time.monotonic() + 20
        while not rulings.exists() or rulings.read_bytes().count(b"\n") < 8:
            assert time.monotonic() < end
            time.sleep(0.05)
    kept = {"status": repr(status).encode(), "figures": figures}
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "networks.csv":
            kept[str(path.relative_to(tmp_path))] = path.read_bytes()
    assert {"log", "state/ledger.sqlite", "rulings.log"} <= kept.keys(), sorted(kept)
    for address in (*CLIENTS, TOLD_BY_PROXY, TOLD_BY_ECS):
        for octets in (address.encode(), socket.inet_aton(address)):
            assert not [where for where, found in kept.items() if octets in found], address
    for spelt in (FREE.encode(), wire(FREE), b"visitor-4711"):
        assert not [where for where, found in kept.items() if spelt in found]
    assert [where for where, found in kept.items() if b"visitor-4712" in found] == ["rulings.log"]


def _blocks(counters: dict[str, int]) -> int:
    return counters.get("order/it-x", 0)


def test_the_code_and_tests_that_it_names_are_there() -> None:
    for name in re.findall(r"`(tests/[\w/]+\.py)`(?: \(`(test_\w+)`\))?", PAGE):
        path, test = name
        assert not test or f"def {test}(" in (ROOT / path).read_text("utf-8"), name
        assert (ROOT / path).exists(), name
    for name in re.findall(r"`((?:serve|fastpath|upstream)/\w+\.\w+)`", PAGE):
        assert (ROOT / "geodns" / name).exists(), name


def test_the_report_withholds_as_many_as_it_says() -> None:
    from geodns.report.withhold import THRESHOLD

    assert f"those below {THRESHOLD} are withheld" in PAGE
    assert f"only from {THRESHOLD} on" in PAGE
