"""The block page in a real browser: it is shown, it fits, it complains of nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.blockpage.test_process import PAGE, SINK, page_port, sinkhole
from tests.live.servers import missing, program
from tests.serve.running import Upstream, running, save, write_settings

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(missing("chromium")), reason=missing("chromium")),
]
HARMLESS = ("status of 451", "status of 421")
"""A browser notes every status of 400 and more, whatever the page is like."""


def browse(folder: Path, url: str, *arguments: str) -> tuple[str, list[str]]:
    """The document that a browser made of a page, and what it wrote to the console."""
    done = subprocess.run(
        [
            program("chromium") or "",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            f"--user-data-dir={folder}",
            f"--host-resolver-rules=MAP * {SINK}",
            "--enable-logging=stderr",
            "--v=0",
            "--dump-dom",
            *arguments,
            url,
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, told


def test_a_browser_shows_the_page_and_complains_of_nothing(tmp_path: Path) -> None:
    upstream = Upstream()
    # The browser comes from 127.0.0.1, which is taken to be in Italy here.
    settings = write_settings(tmp_path, upstream.port, PAGE, workers=1)
    (tmp_path / "feed.csv").write_text("127.0.0.0/8,IT,,,\n")
    save(tmp_path / "orders/IT/it-sink.toml", sinkhole("it-sink", "blocked.example"))
    try:
        with running(settings) as server:
            port = page_port(server)
            for host, words in (
                ("www.blocked.example", ["451", "it-sink", "ist gesperrt", "Inibito."]),
                ("other.example", ["421", "Hier ist nichts gesperrt"]),
            ):
                url = f"http://{host}:{port}/some/page?x=1"
                dom, told = browse(tmp_path / "browser", url, "--accept-lang=de")
                for word in words:
                    assert word in dom, word
                assert '<html lang="de"' in dom
                assert [line for line in told if not any(ok in line for ok in HARMLESS)] == []
            counted = server.until(
                "counted", lambda found: "blockpage/order/it-sink" in found["counters"]
            )["counters"]
            # One page and no second request: the icon, too, is in the page itself.
            assert counted["blockpage/order/it-sink"] == 1, json.dumps(counted)
    finally:
        upstream.close()
