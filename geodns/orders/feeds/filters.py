"""Lists for browsers: adblock filters ``||name^`` and uBlacklist patterns ``*://*.name/*``.

Both mean the name and all below it. Whatever else such a list holds (paths, options,
exceptions, cosmetic rules) is about pages, not names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from geodns.orders.feeds.row import Format, Row, head_lines, mostly, text_lines

_BLOCK = re.compile(r"\|\|([^/^$*|]+)\^(\|)?(\$(?:all|important|document|doc|popup))*\Z")
_PATTERN = re.compile(r"\*://(\*\.)?([^/*]+)/\*\Z")


def adblock_rows(data: bytes) -> Iterator[Row]:
    """A row for each filter; those that are not about a whole name say so."""
    for number, line in text_lines(data):
        if line[0] == "!" or line.startswith("[Adblock"):
            continue
        found = _BLOCK.match(line)
        if found is not None:
            yield Row(number, found[1])
        elif line.startswith("||") and "/" in line:
            yield Row(number, line, wrong="path")
        else:
            yield Row(number, line, wrong="wrong type")


def ublacklist_rows(data: bytes) -> Iterator[Row]:
    """A row for each match pattern; without ``*.`` it is for the name alone."""
    for number, line in text_lines(data):
        if line[0] == "#":
            continue
        found = _PATTERN.match(line)
        if found is not None:
            yield Row(number, found[2], "domain" if found[1] else "exact")
        else:
            yield Row(number, line, wrong="path" if "://" in line else "wrong type")


def _looks_adblock(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf").startswith(b"[Adblock") or mostly(
        head_lines(head), lambda line: line.startswith((b"||", b"@@"))
    )


def _looks_ublacklist(head: bytes) -> bool:
    return mostly(head_lines(head), lambda line: line.startswith((b"*://", b"@*://")))


ADBLOCK = Format("adblock", "adblock filters ||name^", _looks_adblock, adblock_rows)
UBLACKLIST = Format("ublacklist", "patterns *://*.name/*", _looks_ublacklist, ublacklist_rows)
