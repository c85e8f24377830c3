"""What the resolver tells about itself: RESINFO (RFC 9606) of resolver.arpa.

The zone is answered here (RFC 9462 section 6.4); no designated resolvers are told, as there are no
encrypted transports yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from geodns.model.name import from_labels

RESOLVER_ARPA = from_labels([b"resolver", b"arpa"])
RESINFO = 261
_ERRORS = (0, 13, 15, 16, 18, 22, 23)
"""Extended errors (RFC 8914) that replies carry: another, cached, blocked, censored, prohibited,
no reachable authority, network."""
_STALE = (3, 19)
_MOST = 255


def resinfo_data(settings: dict[str, Any]) -> bytes:
    """The record data: one character-string a key, as in a TXT record (RFC 9606 section 4).

    settings: the JSON form of config.Settings. There is no qnamemin: who forwards sends whole
    names.
    """
    codes = _ERRORS + (_STALE if settings["cache"]["serve_stale"] else ())
    keys = [f"exterr={_ranges(codes)}"]
    if settings["errors"]["info_url"]:
        keys.append(f"infourl={settings['errors']['info_url']}")
    data = b""
    for key in keys:
        encoded = key.encode("ascii")
        assert len(encoded) <= _MOST
        data += bytes((len(encoded),)) + encoded
    return data


def _ranges(codes: Iterable[int]) -> str:
    """Numbers as a list with ranges: 13,15-16,18."""
    runs: list[list[int]] = []
    for code in sorted(codes):
        if runs and code == runs[-1][-1] + 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
