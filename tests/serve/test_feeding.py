"""Official lists in a running server: fetched by itself, in force by themselves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.orders.feeds.publisher import Publisher, publishing
from tests.serve.running import FR, IT, Upstream, ask, everywhere, order, running, write_settings

pytestmark = pytest.mark.process
NOERROR, NXDOMAIN = 0, 3


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as found:
        yield found


def refresh(settings: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "geodns", "feeds", "refresh", "-c", str(settings), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_a_list_is_fetched_put_in_force_and_outlives_its_publisher(
    tmp_path: Path, upstream: Upstream, publisher: Publisher
) -> None:
    names = "".join(f"n{number}.example\n" for number in range(40))
    url = publisher.put("/list", names)
    settings = write_settings(tmp_path, upstream.port)
    text = order("it-fed").replace("domains = []", f'[[feeds]]\nurl = "{url}"\nrefresh = "1m"')
    (tmp_path / "orders" / "IT").mkdir(parents=True, exist_ok=True)
    (tmp_path / "orders" / "IT" / "it-fed.toml").write_text(text)
    with running(settings) as server:
        server.until("fetched", lambda _: ask(server.port, "www.n1.example", IT) == NXDOMAIN)
        assert ask(server.port, "www.n1.example", FR) == NOERROR
        publisher.put("/list", names + "added.example\n")
        assert ask(server.port, "added.example", IT) == NOERROR
        code, out = refresh(settings, "it-fed")
        assert (code, "1 new, 0 gone" in out) == (0, True), out
        server.until("refreshed", lambda _: ask(server.port, "added.example", IT) == NXDOMAIN)
        publisher.put("/list", "<html>Service unavailable</html>")
        code, out = refresh(settings, "it-fed")
        assert (code, "HTML page" in out) == (1, True), out
        assert everywhere(server.port, "added.example", NXDOMAIN, IT)
        assert "the list of it-fed has 40 targets: 40 new, 0 gone, 0 rows rejected" in server.log()
    publisher.pages.clear()
    with running(settings) as server:
        assert everywhere(server.port, "added.example", NXDOMAIN, IT)
        status = server.until("told", lambda found: found["faults"])
        assert "the former one stays" in status["faults"][0]["message"]
