"""Letters in random case, which a reply has to give back: who forges one has to guess them."""

from __future__ import annotations

import os


def scrambled(name: bytes) -> bytes:
    """Give each letter of a wire-format name a random case (draft-vixie-dnsext-dns0x20).

    Length octets are at most 63 and so are never letters.
    """
    chance = os.urandom(len(name))
    return bytes(
        octet ^ 0x20 if 0x61 <= octet | 0x20 <= 0x7A and random & 1 else octet
        for octet, random in zip(name, chance, strict=True)
    )
