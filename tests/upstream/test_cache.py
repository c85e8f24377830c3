"""The cache: time, room, and what it may not know."""

from __future__ import annotations

import random
import struct
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.model.name import parse
from geodns.model.response import Response, read_response
from geodns.upstream.cache import Cache, cache_key

WWW = parse("www.example.org")


def response(
    ttls: tuple[int, ...] = (300,), *, name: bytes = WWW, soa: int | None = None
) -> Response:
    """A response with one A record a TTL, or a negative one with an SOA of that TTL."""
    records = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, ttl, 4) + bytes((192, 0, 2, at & 255))
        for at, ttl in enumerate(ttls)
    )
    counts = (len(ttls), 0)
    if soa is not None:
        data = b"\x00\x00" + struct.pack("!IIIII", 1, 2, 3, 4, soa)
        records = b"\x00" + struct.pack("!HHIH", 6, 1, soa, len(data)) + data
        counts = (0, 1)
    head = struct.pack("!HHHHHH", 0, 0x8180 if soa is None else 0x8183, 1, *counts, 0)
    return read_response(head + name + b"\x00\x01\x00\x01" + records)


def key(name: bytes = WWW) -> bytes:
    return cache_key(name, 1, 1, False, False)


def ttls_of(packet: bytes, of: Response) -> list[int]:
    return [struct.unpack_from("!I", packet, at)[0] for at in of.ttl_offsets]


def test_the_key_tells_questions_apart() -> None:
    parts = [
        (WWW, 1, 1, False, False),
        (WWW, 1, 1, True, False),
        (WWW, 1, 1, False, True),
        (WWW, 1, 3, False, False),
        (WWW, 28, 1, False, False),
        # type 65 and type 97 differ by the bit that folds letters
        (WWW, 65, 1, False, False),
        (WWW, 97, 1, False, False),
        (parse("example.org"), 1, 1, False, False),
    ]
    assert len({cache_key(*part) for part in parts}) == len(parts)


def test_ttls_count_down_and_the_entry_expires() -> None:
    cache = Cache(1 << 20)
    cache.put(key(), response((300, 20)), 1000.0)
    entry = cache.get(key(), 1000.9)
    assert entry is not None
    assert entry.aged(1000.9) == entry.response.packet
    assert ttls_of(entry.aged(1019.99), entry.response) == [281, 1]
    assert cache.get(key(), 1019.99) is entry
    assert cache.get(key(), 1020.0) is None
    assert ttls_of(entry.aged(1250.0), entry.response) == [50, 0]
    assert ttls_of(entry.response.packet, entry.response) == [300, 20]


def test_a_ttl_with_the_top_bit_set_is_given_out_as_zero() -> None:
    entry = Cache(1 << 20).put(key(), response((0x80000005,)), 0.0)
    assert ttls_of(entry.aged(1.0), entry.response) == [0]


def test_time_that_stands_still_or_steps_back_does_no_harm() -> None:
    entry = Cache(1 << 20).put(key(), response(), 50.0)
    assert entry.aged(49.0) == entry.response.packet


def test_negative_answers_live_as_long_as_their_soa_says() -> None:
    cache = Cache(1 << 20)
    cache.put(key(), response(soa=30), 0.0)
    assert cache.get(key(), 29.9) is not None
    assert cache.get(key(), 30.0) is None


def test_what_has_no_lifetime_is_not_kept() -> None:
    cache = Cache(1 << 20, min_ttl=60)
    entry = cache.put(key(), response((300, 0)), 0.0)
    assert entry.response == response((300, 0))
    assert (len(cache), cache.octets, cache.get(key(), 0.0)) == (0, 0, None)


def test_min_and_max_ttl_bound_the_lifetime_and_the_ttls_given_out() -> None:
    cache = Cache(1 << 20, min_ttl=60, max_ttl=3600)
    entry = cache.put(key(), response((5, 100, 7200)), 0.0)
    assert ttls_of(entry.response.packet, entry.response) == [60, 100, 3600]
    assert entry.response.lifetime == 60
    assert cache.get(key(), 59.0) is entry
    assert cache.get(key(), 60.0) is None
    long = cache.put(key(), response((7200,)), 0.0)
    assert long.expires == 3600.0


def test_a_newer_response_takes_the_place_of_the_older() -> None:
    cache = Cache(1 << 20)
    cache.put(key(), response(tuple(range(1, 30))), 0.0)
    entry = cache.put(key(), response((9,)), 0.5)
    assert cache.get(key(), 1.0) is entry
    assert (len(cache), cache.octets) == (1, entry.cost)


def test_room_is_made_for_new_entries_and_what_is_asked_for_stays() -> None:
    one = Cache(1 << 20).put(key(), response(), 0.0).cost
    cache = Cache(one * 10 + one // 2)
    names = [parse(f"ww{n}.example.org") for n in range(100, 200)]
    for name in names:
        cache.put(key(name), response(name=name), 0.0)
        cache.get(key(names[0]), 0.0)
        assert cache.octets <= cache.size
    kept = [name for name in names if cache.get(key(name), 0.0) is not None]
    assert kept[0] == names[0]
    assert names[-1] in kept
    assert 9 <= len(kept) == len(cache) <= 10
    assert cache.evictions == 100 - len(kept)


def test_expired_entries_go_whether_asked_for_or_not() -> None:
    one = Cache(1 << 20).put(key(), response(), 0.0).cost
    cache = Cache(one * 2 + 100)
    cache.put(key(), response((5,)), 0.0)
    assert cache.get(key(), 1.0) is not None
    for n in range(100, 102):
        name = parse(f"ww{n}.example.org")
        cache.put(key(name), response(name=name), 10.0)
    assert len(cache) == 2
    assert cache.evictions == 0


def test_what_is_bigger_than_the_cache_is_answered_but_not_kept() -> None:
    cache = Cache(2000)
    small = cache.put(key(parse("a.example")), response(), 0.0)
    entry = cache.put(key(), response(tuple([300] * 100)), 0.0)
    assert entry.response.lifetime == 300
    assert (len(cache), cache.octets) == (1, small.cost)


def test_a_smaller_size_is_made_true_by_trim_and_clear_forgets() -> None:
    cache = Cache(1 << 20)
    for n in range(100):
        name = parse(f"ww{n}.example.org")
        cache.put(key(name), response(name=name), 0.0)
        cache.get(key(name), 0.0)
    cache.size = 10_000
    cache.trim(0.0)
    assert 0 < cache.octets <= 10_000
    cache.clear()
    assert (len(cache), cache.octets) == (0, 0)
    cache.put(key(), response(), 0.0)
    assert len(cache) == 1


def test_the_note_is_the_owners() -> None:
    cache = Cache(1 << 20)
    entry = cache.put(key(), response(), 0.0)
    assert entry.note is None
    entry.note = ("generation", 3)
    found = cache.get(key(), 1.0)
    assert found is not None
    assert found.note == ("generation", 3)


def test_the_octets_counted_are_the_octets_held() -> None:
    for records in (1, 20):
        cache = Cache(1 << 30)
        names = [parse(f"host{n}.example.org") for n in range(600)]
        tracemalloc.start()
        for name in names:
            ttls = tuple(random.randrange(1, 5000) for _ in range(records))
            cache.put(key(name), response(ttls, name=name), 0.0)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert 0.8 * held < cache.octets < 1.6 * held


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1500, 6000),
    st.lists(
        st.tuples(st.sampled_from("pgt"), st.integers(0, 12), st.integers(0, 9), st.integers(0, 2)),
        max_size=80,
    ),
)
def test_whatever_happens_it_is_within_its_size_and_never_lies(
    size: int, steps: list[tuple[str, int, int, int]]
) -> None:
    cache = Cache(size)
    put: dict[bytes, tuple[bytes, float]] = {}
    now = 0.0
    for step, which, ttl, wait in steps:
        now += wait
        name = parse(f"w{which}.example.org")
        if step == "p":
            made = response((ttl, ttl + which), name=name)
            cache.put(key(name), made, now)
            if ttl:
                put[name] = (made.packet, now + ttl)
        elif step == "g":
            entry = cache.get(key(name), now)
            if entry is not None:
                packet, expires = put[name]
                assert entry.response.packet == packet
                assert now < expires
                assert min(ttls_of(entry.aged(now), entry.response)) == expires - now
        else:
            cache.size = size - 40 * which
            cache.trim(now)
        assert cache.octets <= cache.size
        assert cache.octets == sum(entry.cost for entry in cache._entries.values())
        assert sorted(cache._queue) == sorted(cache._entries)
