from __future__ import annotations

import json
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from geodns.orders.loaded import LoadedOrder
from geodns.serve.notices import Notices, post
from tests.orders.test_events import load

NOW = datetime(2024, 12, 10, tzinfo=UTC)


def orders() -> list[LoadedOrder]:
    return [load(dates="expires = 2025-01-01\ndeadline = 2024-01-20")]


async def test_each_event_is_told_once_and_a_restart_repeats_nothing(tmp_path: Path) -> None:
    sent: list[dict[str, object]] = []
    answers = ["it answered 503", None, None]

    def send(url: str, body: bytes) -> str | None:
        why = answers.pop(0)
        if why is None:
            sent.append(json.loads(body))
        return why

    for _ in range(4):  # the receiver fails once; then the server is restarted
        told = Notices(tmp_path, orders, lambda: "https://x.example/secret", send)
        await told.look("https://x.example/secret", NOW)
        await told.look("https://x.example/secret", NOW)
    assert [(item["event"], item["order"], item["state"]) for item in sent] == [
        ("expires", "a", "due")
    ]
    assert len(answers) == 1


def test_what_a_receiver_gets(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    seen: list[tuple[str, str | None, bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            seen.append((self.path, self.headers["Content-Type"], self.rfile.read(length)))
            self.send_response(204 if self.path == "/good" else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        assert post(f"{base}/good", b"{}") is None
        assert post(f"{base}/bad", b"{}") == "it answered 500"
    finally:
        server.shutdown()
        server.server_close()
    assert caplog.text == ""  # the URL may be a secret
    assert seen[0] == ("/good", "application/json", b"{}")
    assert post(f"{base}/gone", b"{}")
    assert post("http://[", b"{}")
