"""Loads made by hand from a seed, without orders, snapshots and place databases."""

from __future__ import annotations

import random
from array import array

from geodns.fastpath.tables import (
    HAND_UP,
    NO_ORDER,
    Kept,
    Load,
    Names,
    OrderReplies,
    Peers,
    Places,
    Runs,
    Template,
)
from tests.fastpath.twins import PEERS, index_names
from tests.policy.making import wire
from tests.scenarios.asking import build, option

LOW64 = (1 << 64) - 1
ORDERS = 3
EVERYBODY = Peers(
    array("I", [0]),
    array("I", [0xFFFFFFFF]),
    array("Q", [0]),
    array("Q", [0]),
    array("Q", [LOW64]),
    array("Q", [LOW64]),
)
WORDS = ["a", "b", "ab", "a.b", "b.a", "a.a", "b.b.a", "a.b.ab", "localhost", "x.a", ""]


def roll_load(roll: random.Random) -> Load:
    """One or two layers of names, a few locations, scope classes, AS numbers and replies."""
    class_count = roll.randint(1, 4)
    rules = tuple(roll.randint(1, 5) for _ in range(roll.choice((1, 2, 2))))
    layers = tuple(_roll_names(roll, count) for count in rules)
    verdicts = {
        (rule, scope_class, full): roll.choice((NO_ORDER, NO_ORDER, 0, 1, ORDERS - 1, HAND_UP))
        for rule in range(sum(rules))
        for scope_class in range(class_count)
        for full in (False, True)
    }
    locals_ = {
        (rule, full): roll.random() < 0.5 for rule in range(sum(rules)) for full in (False, True)
    }
    return Load(
        _roll_places(roll, class_count),
        layers,
        rules,
        class_count,
        lambda rule, scope_class, full: verdicts[rule, scope_class, bool(full)],
        lambda rule, full: locals_[rule, bool(full)],
        tuple(_roll_replies(roll) for _ in range(ORDERS)),
        tuple(_roll_replies(roll) for _ in range(ORDERS)),
        roll.random() < 0.5,
    )


def roll_runs(roll: random.Random) -> Runs:
    """Runs over the addresses that the hand-made places know, and far away from them."""
    four, six = (sorted({0, *_starts(roll, width)}) for width in (4, 16))
    return Runs(
        array("I", four),
        array("I", range(len(four))),
        array("Q", [start >> 64 for start in six]),
        array("Q", [start & LOW64 for start in six]),
        array("I", range(len(six))),
    )


def _roll_names(roll: random.Random, rules: int) -> Names:
    words = roll.sample(WORDS[:-1], roll.randint(0, 6))
    return index_names(
        {wire(word): roll.randrange(rules) for word in words},
        bits=roll.choice((8, 64, 1024)),
        buckets=roll.choice((1, 2, 16)),
    )


def _roll_places(roll: random.Random, class_count: int) -> Places:
    locations = roll.randint(1, 4)
    asns = sorted(roll.sample([7, 3269, 64500, 4200000000], roll.choice((0, 0, 1, 3))))
    width = len(asns) + 2 if asns else 1
    place4, place6 = _starts(roll, 4), _starts(roll, 16)
    asn4, asn6 = _starts(roll, 4), _starts(roll, 16)
    numbers = [0, 5, *asns, *asns]
    return Places(
        start4=array("I", place4),
        place4=array("I", [roll.randrange(locations) for _ in place4]),
        upper6=array("Q", [start >> 64 for start in place6]),
        lower6=array("Q", [start & LOW64 for start in place6]),
        place6=array("I", [roll.randrange(locations) for _ in place6]),
        asn_start4=array("I", asn4),
        asn4=array("I", [roll.choice(numbers) for _ in asn4]),
        asn_upper6=array("Q", [start >> 64 for start in asn6]),
        asn_lower6=array("Q", [start & LOW64 for start in asn6]),
        asn6=array("I", [roll.choice(numbers) for _ in asn6]),
        classes=array("I", [roll.randrange(class_count) for _ in range(locations * width)]),
        width=width,
        asns=array("I", asns),
        unknown=bytes(roll.randrange(2) for _ in range(locations)),
    )


def _starts(roll: random.Random, width: int) -> list[int]:
    """Starts of segments at and beside the addresses that will ask."""
    top = (1 << 8 * width) - 1
    near = [int.from_bytes(peer) for peer in PEERS if len(peer) == width]
    found = {roll.choice(near) + roll.choice((-1, 0, 0, 1)) for _ in range(roll.randrange(12))}
    found |= {roll.randint(0, top) for _ in range(roll.randrange(4))}
    if roll.random() < 0.8:
        found.add(0)
    return sorted(found)


def _roll_replies(roll: random.Random) -> OrderReplies:
    templates = []
    for _ in range(3):
        owner = roll.random() < 0.5
        size = roll.choice((2, 16, 60, 400, 1190, 1300)) if owner else roll.choice((0, 16, 1180))
        templates.append(
            Template(
                roll.randrange(16),
                roll.choice((0, 1, 2, 255, 300)) if size > 1232 else roll.randrange(3),
                roll.randrange(2),
                roll.randbytes(size),
                owner,
            )
        )
    text = roll.choice((0, 10, 500, 1300))
    opt = b"\0\0\x29\x04\xd0" + bytes(4) + (text + 6).to_bytes(2) + b"\0\x0f" + bytes(4 + text)
    return OrderReplies((templates[0], templates[1], templates[2]), opt, opt[:9] + bytes(2))


def roll_kept(roll: random.Random, now: float) -> tuple[bytes, Kept]:
    """An answer to keep, and its key."""
    name = wire(roll.choice(WORDS))
    qtype = roll.choice((1, 1, 28, 65)).to_bytes(2)
    size = roll.choice((0, 0, 16, 300, 600, 700, 760))
    packet = bytes(2) + roll.randbytes(2) + b"\0\1" + roll.randbytes(6) + name + qtype + b"\0\1"
    first = len(packet)
    packet += roll.randbytes(size)
    offsets = (
        tuple(
            roll.randrange(first, first + size - 3) for _ in range(roll.choice((0, 1, 3, 24, 25)))
        )
        if size
        else ()
    )
    stored = now - roll.choice((0.0, 0.5, 1.0, 59.9, 1e5, 1e12))
    kept = Kept(
        packet,
        offsets,
        stored,
        now + roll.choice((0.0, 0.5, 2.0, 1e5, -1.0)),
        roll.random() < 0.5,
        roll.random() < 0.2,
        roll.random() < 0.5,
    )
    return name + qtype + b"\0\1" + bytes([roll.choice((0, 0, 0, 1, 2, 3))]), kept


def subnet(roll: random.Random) -> bytes:
    """An ECS option at and beside the addresses that the hand-made tables know."""
    peer = roll.choice(PEERS)
    bits = roll.choice((0, 7, 8, 16, 24, 31, 32, 56, 64, 127, 128))
    bits = min(bits, 8 * len(peer))
    whole = int.from_bytes(peer) + roll.choice((-1, 0, 1))
    kept = whole >> 8 * len(peer) - bits << 8 * len(peer) - bits
    address = kept.to_bytes(len(peer))[: (bits + 7) // 8]
    return option(8, bytes((0, 1 if len(peer) == 4 else 2, bits, 0)) + address)


def common_packets(roll: random.Random) -> list[bytes]:
    kinds = ("A", "AAAA", "HTTPS")
    sizes = (None, 512, 1232, 4096)
    return [
        build(
            roll.choice(WORDS),
            roll.choice(kinds),
            edns=roll.choice(sizes),
            do=roll.random() < 0.3,
            cd=roll.random() < 0.3,
            ad=roll.random() < 0.3,
            options=subnet(roll) if roll.random() < 0.4 else b"",
        )
        for _ in range(20)
    ]
