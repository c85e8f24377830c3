"""Scrapes of a running server, and a load that makes every kind of figure move."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.serve.running import FR, IT, Running, ask, order, query, save, write_settings

METRICS = '[metrics]\nlisten = "127.0.0.1:0"\n'


def write_watched(folder: Path, upstream: int) -> Path:
    """Settings and orders of a server for ``mixed_load``; returns the settings' path."""
    spared = '[orders]\nnever_block = ["spared.blocked.example"]\n'
    page = '[blockpage]\nlisten = ["127.0.0.1:0"]\noperator_url = "https://net.example"\n'
    settings = write_settings(folder, upstream, METRICS + spared + page)
    save(folder / "orders" / "IT" / "it-a.toml", order("it-a", "blocked.example"))
    shadow = order("it-s", "shadowed.example", status='"shadow"')
    save(folder / "orders" / "IT" / "it-s.toml", shadow)
    return settings


def fetch(address: tuple[str, int], path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://{address[0]}:{address[1]}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def address_of(server: Running) -> tuple[str, int]:
    host, port = server.status()["metrics"]
    return host, port


def scrape(server: Running) -> dict[tuple[str, ...], float]:
    """Samples by name and label values, in the order of the labels' names."""
    status, text = fetch(address_of(server), "/metrics")
    assert status == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ask_over_tcp(port: int, name: str) -> None:
    with socket.create_connection(("127.0.0.1", port), source_address=(IT, 0)) as sock:
        packet = query(7, name)
        sock.sendall(len(packet).to_bytes(2, "big") + packet)
        assert sock.recv(4096)


def mixed_load(server: Running) -> int:
    """Some queries of each kind; returns how many."""
    for number in range(5):
        ask(server.port, "www.blocked.example", IT)
        ask(server.port, "www.blocked.example", FR)
        ask(server.port, "shadowed.example", IT)
        ask(server.port, "spared.blocked.example", IT)
        ask(server.port, f"n{number}.free.example", FR)
        ask(server.port, "localhost")
        ask_over_tcp(server.port, "www.blocked.example")
    return 35


def queries(status: dict[str, Any]) -> int:
    counters = status["counters"]
    return int(counters.get("queries/udp", 0) + counters.get("queries/tcp", 0))
