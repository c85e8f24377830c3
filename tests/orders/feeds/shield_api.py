"""Piracy Shield's API on loopback, as docs/feeds.md tells it, whose tickets a test chooses."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EMAIL, PASSWORD = "isp@provider.example", "correct-horse:battery"
CREDENTIALS = f"{EMAIL}:{PASSWORD}"
BASE = "/api"
LOGIN = "/v1/authentication/login"
TICKETS = "/v1/ticket/get/all"
REPORT = "/v1/ticket/item/set/"
FQDN, IPV4, IPV6 = (f"/v1/{kind}/get/all/txt" for kind in ("fqdn", "ipv4", "ipv6"))


@dataclass
class ShieldApi:
    """tickets, lists: what is answered; lists by kind, an item a line.

    asked: (method, path) of each request. reports: (value, what) of each report taken. faults:
    path -> answers (status, body) given first, each once.
    always: path -> answer, each time. slow: path -> seconds. lives: requests that a token is good
    for. unknown: items of which no report is taken. on_report: called with each that is.
    """

    url: str = ""
    tickets: list[Any] = field(default_factory=list)
    lists: dict[str, list[str]] = field(
        default_factory=lambda: {"fqdn": [], "ipv4": [], "ipv6": []}
    )
    asked: list[tuple[str, str]] = field(default_factory=list)
    reports: list[tuple[str, str]] = field(default_factory=list)
    faults: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    always: dict[str, tuple[int, str]] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    lives: int = 1000
    tokens: dict[str, int] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    on_report: Callable[[str, str], None] = lambda value, what: None

    def add(self, *items: str, opened: float | None = None, kind: str = "fqdn") -> None:
        """Put items on a new ticket and on the list."""
        moment = datetime.fromtimestamp(time.time() if opened is None else opened, UTC)
        ticket = {
            "ticket_id": f"t{len(self.tickets) + 1}",
            "fqdn": [],
            "ipv4": [],
            "ipv6": [],
            "metadata": {"created_at": moment.isoformat()},
        }
        self.tickets.append({**ticket, kind: list(items)})
        self.lists[kind] += [item for item in items if item not in self.lists[kind]]

    def lift(self, *items: str) -> None:
        """Take items off the lists; their tickets stay."""
        for entries in self.lists.values():
            entries[:] = [entry for entry in entries if entry not in items]

    def logins(self) -> int:
        return sum(path == LOGIN for _, path in self.asked)

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, str]:
        if self.faults.get(path):
            return self.faults[path].pop(0)
        if path in self.always:
            return self.always[path]
        if (method, path) == ("POST", LOGIN):
            return self._login(json.loads(body))
        if self.tokens.get(token, 0) <= 0:
            return 401, '{"status": "error", "message": "token"}'
        self.tokens[token] -= 1
        if method == "POST":
            return self._report(path, json.loads(body))
        if path == TICKETS:
            return 200, json.dumps({"status": "success", "data": self.tickets})
        kind = path.split("/")[2]
        if path == f"/v1/{kind}/get/all/txt" and kind in self.lists:
            return 200, "".join(f"{entry}\n" for entry in self.lists[kind])
        return 404, "no such page"

    def _login(self, sent: dict[str, str]) -> tuple[int, str]:
        if sent != {"email": EMAIL, "password": PASSWORD}:
            return 401, json.dumps({"status": "error", "message": f"not {sent['password']}"})
        token = f"token-{len(self.tokens)}-{'x' * 40}"
        self.tokens[token] = self.lives
        data = {"access_token": token, "refresh_token": "r" * 40}
        return 200, json.dumps({"status": "success", "data": data})

    def _report(self, path: str, sent: dict[str, str]) -> tuple[int, str]:
        listed = {entry for entries in self.lists.values() for entry in entries}
        if sent["value"] not in listed or sent["value"] in self.unknown:
            return 400, '{"status": "error", "message": "no such item"}'
        what = path.removeprefix(REPORT)
        what = what if what == "processed" else sent["reason"]
        self.on_report(sent["value"], what)
        self.reports.append((sent["value"], what))
        return 200, '{"status": "success"}'


@contextmanager
def shielding() -> Iterator[ShieldApi]:
    api = ShieldApi()
    ending = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve(b"")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _serve(self, body: bytes) -> None:
            path = self.path.removeprefix(BASE)
            api.asked.append((self.command, path))
            if path in api.slow:
                ending.wait(api.slow[path])
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, text = api.answer(self.command, path, token, body)
            octets = text.encode()
            try:
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", text)
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)
            except OSError:
                pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_address[1]}{BASE}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        ending.set()
        server.shutdown()
        server.server_close()
        thread.join()
