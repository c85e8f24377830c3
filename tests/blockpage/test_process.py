"""The whole way: an order file, a DNS query, the page; and what keeps the page harmless."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.running import (
    FR,
    IT,
    ROOT,
    UP_TIME,
    Running,
    Upstream,
    order,
    query,
    running,
    save,
    write_settings,
)

pytestmark = pytest.mark.process
SINK = "127.0.0.80"
PAGE = (
    f'[blockpage]\nlisten = ["{SINK}:0"]\noperator = "Rete Esempio"\n'
    'operator_url = "https://rete.example/"\n'
)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


def sinkhole(ident: str, *domains: str, text: str = "Inibito.", **keys: str) -> str:
    return (
        order(ident, *domains, **keys)
        + f'[response]\naction = "sinkhole"\naddresses = ["{SINK}"]\n'
        + f'[disclosure]\ntext = "{text}"\n'
    )


def get(
    port: int, host: str, source: str = IT, **fields: str
) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection(SINK, port, timeout=10, source_address=(source, 0))
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Host": host, **fields})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()


def resolve(port: int, name: str, source: str) -> list[str]:
    """The addresses of a name, as a client at an address is told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(5)
        sock.sendto(query(7, name), ("127.0.0.1", port))
        reply = sock.recv(4096)
    answers = int.from_bytes(reply[6:8])
    at = reply.index(0, 12) + 5
    found = []
    for _ in range(answers):
        assert reply[at + 10 : at + 12] == b"\0\x04"
        found.append(socket.inet_ntoa(reply[at + 12 : at + 16]))
        at += 16
    return found


def page_port(server: Running) -> int:
    port: int = server.status()["blockpage"]["listen"][0][1]
    return port


def test_from_an_order_file_to_the_page(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port, PAGE, workers=1)
    save(tmp_path / "orders/IT/it-sink.toml", sinkhole("it-sink", "blocked.example"))
    with running(settings) as server:
        assert resolve(server.port, "www.blocked.example", IT) == [SINK]
        assert resolve(server.port, "www.blocked.example", FR) == ["192.0.2.7"]
        port = page_port(server)
        status, headers, body = get(port, "www.blocked.example")
        assert status == 451
        assert headers["Link"] == '<https://rete.example/>; rel="blocked-by"'
        assert "it-sink" in body
        assert "Inibito." in body
        status, headers, body = get(port, "www.blocked.example", FR)
        assert status == 421
        assert "it-sink" not in body

        # A new order, and one lifted, are on the page as soon as they are in force.
        save(tmp_path / "orders/IT/it-new.toml", sinkhole("it-new", "new.example"))
        (tmp_path / "orders/IT/it-sink.toml").unlink()
        server.until(
            "the page follows",
            lambda found: (
                [each["id"] for each in found["orders"]] == ["it-new"]
                and found["blockpage"]["current"]
            ),
        )
        assert get(port, "new.example")[0] == 451
        assert get(port, "blocked.example")[0] == 421

        # So are settings.
        settings.write_text(settings.read_text().replace("Rete Esempio", "Altra Rete"))
        end = time.monotonic() + UP_TIME
        while "Altra Rete" not in get(port, "new.example")[2]:
            assert time.monotonic() < end
            time.sleep(0.05)

        found = server.until(
            "the counters arrive",
            lambda found: found["counters"].get("blockpage/order/it-new", 0) >= 2,
        )
        assert found["counters"]["blockpage/order/it-sink"] == 1
        assert found["counters"]["blockpage/421"] == 2
    assert IT not in server.log()


def test_a_name_that_leads_to_a_blocked_address(tmp_path: Path, upstream: Upstream) -> None:
    settings = write_settings(tmp_path, upstream.port, PAGE, workers=1)
    text = sinkhole("it-network", "x.example")
    save(
        tmp_path / "orders/IT/it-network.toml",
        text.replace('domains = ["x.example"]', 'networks = ["192.0.2.0/24"]'),
    )
    with running(settings) as server:
        assert resolve(server.port, "mirror.example", IT) == [SINK]
        assert resolve(server.port, "mirror.example", FR) == ["192.0.2.7"]
        port = page_port(server)
        assert get(port, "mirror.example")[0] == 451
        assert get(port, "mirror.example", FR)[0] == 421


def test_a_page_that_dies_is_started_again_and_harms_nobody(
    tmp_path: Path, upstream: Upstream
) -> None:
    settings = write_settings(tmp_path, upstream.port, PAGE, workers=1)
    save(tmp_path / "orders/IT/it-sink.toml", sinkhole("it-sink", "blocked.example"))
    with running(settings) as server:
        port = page_port(server)
        before = server.until("the page is up", lambda found: found["blockpage"]["current"])
        workers = [worker["pid"] for worker in before["workers"]]
        get(port, "blocked.example")
        server.until("counted", lambda found: found["counters"].get("blockpage/451", 0) == 1)
        os.kill(before["blockpage"]["pid"], signal.SIGKILL)
        # Its socket stays open: whoever comes now waits a moment and is answered.
        assert get(port, "blocked.example")[0] == 451
        assert resolve(server.port, "blocked.example", IT) == [SINK]
        after = server.until(
            "the page is up again",
            lambda found: (
                found["blockpage"]["current"] and found["counters"].get("blockpage/451", 0) == 2
            ),
        )
        assert after["blockpage"]["restarts"] == 1
        assert [worker["pid"] for worker in after["workers"]] == workers
        assert "the block page was killed by SIGKILL" in server.log()
        page = after["blockpage"]["pid"]
    assert not Path(f"/proc/{page}").exists()


def test_a_taken_port_refuses_the_start(tmp_path: Path, upstream: Upstream) -> None:
    with socket.socket() as taken:
        taken.bind((SINK, 0))
        taken.listen()
        where = f"{SINK}:{taken.getsockname()[1]}"
        page = PAGE.replace(f"{SINK}:0", where)
        settings = write_settings(tmp_path, upstream.port, page, workers=1)
        done = program("serve", "-c", str(settings))
        assert done.returncode == 2
        assert f"cannot listen on {where}" in done.stderr


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "geodns", *arguments],
        capture_output=True,
        text=True,
        timeout=UP_TIME,
        check=False,
        cwd=ROOT,
    )


@contextlib.contextmanager
def alone(settings: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    with (settings.parent / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "geodns", "blockpage", "--json", "-c", str(settings)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
        )
    assert process.stdout is not None
    try:
        readable, _, _ = select.select([process.stdout], [], [], UP_TIME)
        line = process.stdout.readline() if readable else ""
        assert line, (settings.parent / "log").read_text()
        yield process, json.loads(line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(UP_TIME) == 0, (settings.parent / "log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def test_the_page_alone_needs_no_upstream_and_follows_the_files(tmp_path: Path) -> None:
    settings = write_settings(tmp_path, 53, PAGE, workers=1)
    settings.write_text(settings.read_text().replace('["127.0.0.1:53"]', "[]"))
    save(tmp_path / "orders/IT/it-sink.toml", sinkhole("it-sink", "blocked.example"))
    with alone(settings) as (_, ready):
        ((host, port),) = ready["ready"]
        assert (host, ready["orders"]) == (SINK, 1)
        assert get(port, "blocked.example")[0] == 451
        assert get(port, "blocked.example", FR)[0] == 421
        save(tmp_path / "orders/IT/it-sink.toml", sinkhole("it-sink", "other.example"))
        end = time.monotonic() + UP_TIME
        while get(port, "blocked.example")[0] == 451:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert get(port, "other.example")[0] == 451


def test_the_page_alone_runs_beside_a_server_of_the_same_state(
    tmp_path: Path, upstream: Upstream
) -> None:
    save_to = write_settings(tmp_path, upstream.port, workers=1)
    save(tmp_path / "orders/IT/it-sink.toml", sinkhole("it-sink", "blocked.example"))
    with running(save_to) as server:
        assert server.status()["blockpage"] is None
        other = tmp_path / "page.toml"
        other.write_text(save_to.read_text() + PAGE)
        with alone(other) as (_, ready):
            assert get(ready["ready"][0][1], "blocked.example")[0] == 451
        assert resolve(server.port, "blocked.example", IT) == [SINK]


def test_the_page_alone_says_what_is_missing(tmp_path: Path) -> None:
    settings = write_settings(tmp_path, 53)
    done = program("blockpage", "-c", str(settings))
    assert done.returncode == 2
    assert "blockpage.listen" in done.stderr
    assert "Traceback" not in done.stderr
