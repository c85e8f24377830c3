"""DNS cookies (RFC 7873) with interoperable server cookies (RFC 9018): octets in, octets out.

A server cookie proves that its sender receives what is sent to its address: who has one is no
victim of a forged source, and is not held back by response rate limiting.
"""

from __future__ import annotations

from collections.abc import Sequence

OPTION_COOKIE = 10
CLIENT_SIZE = 8
"""Octets of a client cookie."""
ENCODED = 4 + CLIENT_SIZE + 16
"""Octets of the option that every reply carries back."""
SECRET_SIZE = 16
"""Octets of a secret."""
MOST_SECRETS = 4
"""Secrets in use at a time."""
ABSENT, NEW, VALID, BAD = range(4)
"""What a query had: no cookie; none of ours; one of ours; one that is not ours (any more)."""

OLDEST, NEWEST, RENEWED = 3600, -300, 1800
"""Seconds of age at which a cookie is too old, from the future, or made anew (RFC 9018 4.3)."""
_VERSION = b"\x01\x00\x00\x00"
_HEAD = OPTION_COOKIE.to_bytes(2, "big") + (ENCODED - 4).to_bytes(2, "big")
_MASK = 0xFFFFFFFFFFFFFFFF


def siphash(key: bytes, data: bytes) -> bytes:
    """SipHash-2-4 of data under a key of 16 octets: 8 octets, as its authors write them."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    whole = len(data) & ~7
    tail = int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    for word in (*words, tail):
        v3 ^= word
        v0, v1, v2, v3 = _rounds(2, v0, v1, v2, v3)
        v0 ^= word
    v0, v1, v2, v3 = _rounds(4, v0, v1, v2 ^ 0xFF, v3)
    return (v0 ^ v1 ^ v2 ^ v3).to_bytes(8, "little")


def _rounds(count: int, v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    for _ in range(count):
        v0 = (v0 + v1) & _MASK
        v2 = (v2 + v3) & _MASK
        v1 = (v1 << 13 & _MASK | v1 >> 51) ^ v0
        v3 = (v3 << 16 & _MASK | v3 >> 48) ^ v2
        v0 = v0 << 32 & _MASK | v0 >> 32
        v2 = (v2 + v1) & _MASK
        v0 = (v0 + v3) & _MASK
        v1 = (v1 << 17 & _MASK | v1 >> 47) ^ v2
        v3 = (v3 << 21 & _MASK | v3 >> 43) ^ v0
        v2 = v2 << 32 & _MASK | v2 >> 32
    return v0, v1, v2, v3


def well_formed(size: int) -> bool:
    """Whether option data of this many octets can be a cookie (RFC 7873 section 4)."""
    return size == CLIENT_SIZE or 2 * CLIENT_SIZE <= size <= 40


def check_secrets(secrets: Sequence[bytes]) -> None:
    """Refuse secrets of another size, and too many of them: ValueError."""
    if len(secrets) > MOST_SECRETS or any(len(secret) != SECRET_SIZE for secret in secrets):
        raise ValueError(f"cookie secrets are {SECRET_SIZE} octets, {MOST_SECRETS} at most")


def judge(secrets: Sequence[bytes], data: bytes, peer: bytes, stamp: int) -> int:
    """NEW, VALID or BAD, of well-formed option data.

    secrets: any of them may have made it. peer: packed address of the sender, 4 or 16 octets.
    stamp: seconds since 1970, modulo 2**32.
    """
    if len(data) == CLIENT_SIZE:
        return NEW
    if len(data) != ENCODED - 4 or data[8] != _VERSION[0]:
        return BAD
    if not NEWEST <= _age(data, stamp) <= OLDEST:
        return BAD
    signed = data[:16] + peer
    return VALID if any(siphash(secret, signed) == data[16:] for secret in secrets) else BAD


def renew(secrets: Sequence[bytes], data: bytes, peer: bytes, stamp: int, judged: int) -> bytes:
    """The COOKIE option (encoded) of the reply: the very cookie while it is young, else a new one.

    judged: what ``judge`` said of it. The first of the secrets makes new ones.
    """
    if judged == VALID and _age(data, stamp) < RENEWED:
        return _HEAD + data
    signed = data[:CLIENT_SIZE] + _VERSION + stamp.to_bytes(4, "big")
    return _HEAD + signed + siphash(secrets[0], signed + peer)


def _age(data: bytes, stamp: int) -> int:
    """Seconds since a cookie was made, negative from the future (RFC 1982 arithmetic)."""
    age = (stamp - int.from_bytes(data[12:16], "big")) & 0xFFFFFFFF
    return age - (1 << 32) if age >> 31 else age
