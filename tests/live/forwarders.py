"""dnsdist, Unbound and HAProxy in front of geodns, with the snippets of docs/forwarders.md.

The page's addresses are exchanged for loopback ones: each forwarder has one of its own, so that
one geodns can tell them apart and serve them all.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import free_port
from tests.live.servers import process

PAGE = Path(__file__).parents[2] / "docs" / "forwarders.md"
ADDRESSES = {
    "dnsdist by PROXY": "127.0.0.2",
    "dnsdist by ECS": "127.0.0.3",
    "Unbound by ECS": "127.0.0.4",
    "HAProxy by PROXY": "127.0.0.5",
}
SETTINGS = {
    "dnsdist by PROXY": "geodns behind dnsdist by PROXY",
    "dnsdist by ECS": "geodns behind dnsdist by ECS",
    "Unbound by ECS": "geodns behind Unbound by ECS",
    "HAProxy by PROXY": "geodns behind HAProxy",
}
PROGRAMS = {
    "dnsdist by PROXY": "dnsdist",
    "dnsdist by ECS": "dnsdist",
    "Unbound by ECS": "unbound",
    "HAProxy by PROXY": "haproxy",
}
_FORWARDER, _GEODNS = "192.0.2.1", "192.0.2.53"


def snippet(title: str) -> str:
    """The code block of the page whose first line is this comment."""
    blocks = re.findall(r"^```\w+\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [text for text in blocks if text.split("\n", 1)[0].lstrip("#- ") == title]
    return str(found)


def trust() -> str:
    """The [trust] of the page's settings, all forwarders together."""
    merged: dict[str, list[str]] = {}
    for way, title in SETTINGS.items():
        for key, listed in tomllib.loads(snippet(title))["trust"].items():
            assert listed == [_FORWARDER]
            merged.setdefault(key, []).append(ADDRESSES[way])
    lines = [f"{key} = {listed}\n" for key, listed in merged.items()]
    return "[trust]\n" + "".join(lines).replace("'", '"')


@contextmanager
def forwarder(
    way: str, folder: Path, geodns: int, change: Callable[[str], str] = str
) -> Iterator[tuple[str, int]]:
    """Run a forwarder in front of geodns' port; gives the address that clients ask.

    change: what is done to the page's snippet before it is used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    host, port = ADDRESSES[way], free_port()
    text = change(snippet(way))
    for old, new in (
        (f"{_FORWARDER}:53", f"{host}:{port}"),
        ("port: 53\n", f"port: {port}\n"),
        (f"{_GEODNS}:53", f"127.0.0.1:{geodns}"),
        (f"{_GEODNS}@53", f"127.0.0.1@{geodns}"),
        (_GEODNS, "127.0.0.1"),
        (_FORWARDER, host),
    ):
        text = text.replace(old, new)
    file = folder / "config"
    command = {
        "dnsdist": ["dnsdist", "--supervised", "--disable-syslog", "-C", str(file)],
        "unbound": ["unbound", "-d", "-c", str(file)],
        "haproxy": ["haproxy", "-db", "-f", str(file)],
    }[PROGRAMS[way]]
    if PROGRAMS[way] == "dnsdist":
        # It would ask the Internet for its security status.
        text += 'setSecurityPollSuffix("")\n'
    if PROGRAMS[way] == "unbound":
        text = text.replace(
            "server:\n",
            f'server:\n  username: ""\n  chroot: ""\n  directory: "{folder}"\n  pidfile: ""\n'
            '  use-syslog: no\n  logfile: ""\n  num-threads: 1\n  do-not-query-localhost: no\n'
            "  access-control: 127.0.0.0/8 allow\n",
            1,
        )
        text += "remote-control:\n  control-enable: no\n"
    file.write_text(text)
    with process(command, folder, port, host=host, stream=PROGRAMS[way] == "haproxy"):
        yield host, port
