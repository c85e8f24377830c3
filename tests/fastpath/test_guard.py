"""Cookies as RFC 9018 has them, and response rate limiting, by both twins alike."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.fastpath import cookie, pure
from geodns.fastpath.rate import HOLD, PASS, SLIP, RateLimits
from geodns.fastpath.tables import Peers
from tests.fastpath.twins import Guards

native = pytest.importorskip("geodns.fastpath.native")
OLD, NEW = (
    bytes.fromhex("dd3bdf9344b678b185a6f5cb60fca715"),
    bytes.fromhex("445536bcd2513298075a5d379663c962"),
)


def guards() -> Guards:
    return Guards([pure.FastPath(8), native.FastPath(8)])


def test_siphash_gives_what_its_authors_say() -> None:
    key = bytes(range(16))
    for size, expected in (
        (0, "310e0edd47db6f72"),
        (1, "fd67dc93c539f874"),
        (8, "62 24 93 9a 79 f5 f5 93"),
        (15, "e545be4961ca29a1"),
    ):
        assert cookie.siphash(key, bytes(range(size))) == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("secrets", "client", "sent", "stamp", "judged", "reply"),
    [
        pytest.param(
            ["e5e973e5a6b2a43f48e7dc849e37bfcf"],
            "198.51.100.100",
            "2464c4abcf10c957",
            0x5CF79F11,
            cookie.NEW,
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
            id="A.1 a new cookie",
        ),
        pytest.param(
            ["e5e973e5a6b2a43f48e7dc849e37bfcf"],
            "198.51.100.100",
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
            0x5CF7A871,
            cookie.VALID,
            "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
            id="A.2 the same client, 40 minutes later",
        ),
        pytest.param(
            ["e5e973e5a6b2a43f48e7dc849e37bfcf"],
            "203.0.113.203",
            "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
            0x5CF7A9AC - 3600,
            cookie.VALID,
            None,
            id="A.3 reserved octets that are not zero",
        ),
        pytest.param(
            ["e5e973e5a6b2a43f48e7dc849e37bfcf"],
            "203.0.113.203",
            "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
            0x5CF7A9AC,
            cookie.BAD,
            "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
            id="A.3 and more than an hour old",
        ),
        pytest.param(
            [NEW.hex(), OLD.hex()],
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
            0x5CF7C609,
            cookie.VALID,
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
            id="A.4 under the secret before, and young",
        ),
        pytest.param(
            [NEW.hex()],
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
            0x5CF7C609,
            cookie.BAD,
            "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
            id="A.4 with the new secret alone",
        ),
    ],
)
def test_the_cookies_of_rfc_9018(
    secrets: list[str], client: str, sent: str, stamp: int, judged: int, reply: str | None
) -> None:
    both = guards()
    both.take_secrets([bytes.fromhex(secret) for secret in secrets], stamp - 50.0)
    peer, data = ip_address(client).packed, bytes.fromhex(sent)
    assert both.judge(data, peer, 50.5) == judged
    baked, found = both.bake(data, peer, 50.5)
    assert found == judged
    assert baked[:4] == b"\0\x0a\0\x18"
    if reply is not None:
        assert baked[4:].hex() == reply
    assert sum(both.counts().values()) == 1
    assert both.judge(baked[4:], peer, 51.0) == cookie.VALID
    assert both.judge(baked[4:], ip_address("192.0.2.1").packed, 51.0) == cookie.BAD


@pytest.mark.parametrize(
    ("age", "judged"),
    [(0, 2), (3600, 2), (3601, 3), (-300, 2), (-301, 3), (1 << 31, 3), (-(1 << 31), 3)],
)
def test_a_cookie_is_good_for_an_hour_and_five_minutes_ahead(age: int, judged: int) -> None:
    both = guards()
    made = 0xFFFFFF00  # a few minutes before the count of seconds begins anew
    both.take_secrets([NEW], float(made))
    data = both.bake(bytes(8), bytes(4), 0.0)[0][4:]
    both.take_secrets([NEW], float((made + age) % (1 << 32)))
    assert both.judge(data, bytes(4), 0.0) == judged


def test_without_secrets_there_are_no_cookies() -> None:
    both = guards()
    assert not both.bakes
    assert both.bake(bytes(8), bytes(4), 1.0) == (b"", cookie.ABSENT)
    assert not any(both.counts().values())
    for each in (pure.FastPath(8).guard, native.FastPath(8).guard):
        for secrets in ([b"short"], [bytes(16)] * 5):
            with pytest.raises(ValueError, match="16 octets"):
                each.take_secrets(secrets, 0.0)


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([4, 16]), st.floats(0, 1e9))
def test_twins_judge_any_octets_alike(data: bytes, width: int, now: float) -> None:
    both = guards()
    both.take_secrets([OLD, NEW], 1e9)
    if cookie.well_formed(len(data)):
        peer = bytes(range(width))
        assert both.judge(data, peer, now) in (cookie.NEW, cookie.BAD)
        baked = both.bake(data, peer, now)[0]
        assert baked[4:12] == data[:8]
        assert both.judge(baked[4:], peer, now) == cookie.VALID


def limits(**keys: Any) -> RateLimits:
    nobody = Peers(array("I"), array("I"), array("Q"), array("Q"), array("Q"), array("Q"))
    given: dict[str, Any] = {
        "per_second": (5.0, 5.0, 5.0),
        "window": 15.0,
        "slip": 2,
        "prefix4": 24,
        "prefix6": 56,
        "exempt": nobody,
        "only_count": False,
    }
    return RateLimits(**(given | keys))


def packed(text: str) -> bytes:
    return ip_address(text).packed


def test_a_network_gets_its_rate_and_pays_for_more() -> None:
    both = guards()
    both.take_rates(limits())
    charge = lambda text, now: both.charge(packed(text), 0, now)  # noqa: E731
    burst = [charge(f"192.0.2.{host}", 100.0) for host in range(12)]
    assert burst == [PASS] * 5 + [HOLD, SLIP] * 3 + [HOLD]
    assert charge("192.0.3.1", 100.0) == PASS
    # What was held back was charged for as well: a second later it still owes.
    assert charge("192.0.2.1", 101.0) != PASS
    assert charge("192.0.2.1", 103.0) == PASS
    # However long the flood was, it is over once the window has passed.
    for _ in range(5000):
        charge("192.0.2.1", 103.0)
    assert charge("192.0.2.1", 117.0) != PASS
    assert charge("192.0.2.1", 119.5) == PASS
    counts = both.counts()
    assert counts["rate/dropped"] + counts["rate/truncated"] > 5000


def test_who_is_deep_in_debt_is_known_before_anything_is_looked_up() -> None:
    both = guards()
    both.take_rates(limits(per_second=(5.0, 0.0, 5.0)))
    peer = packed("192.0.2.1")
    for _ in range(10):
        assert both.flood(peer, 100.0) == -1
        both.charge(peer, 2, 100.0)
    both.charge(peer, 2, 100.0)
    assert both.flood(peer, 100.0) == 2
    assert both.flood(packed("192.0.3.1"), 100.0) == -1
    assert both.flood(peer, 100.3) == -1
    for _ in range(20):
        both.charge(peer, 0, 100.0)
    assert both.flood(peer, 100.3) == 0
    both.take_rates(limits(only_count=True))
    for _ in range(100):
        both.charge(peer, 0, 1.0)
    assert both.flood(peer, 1.0) == -1


def test_answers_denials_and_errors_have_accounts_of_their_own() -> None:
    both = guards()
    both.take_rates(limits(per_second=(2.0, 1.0, 0.0), slip=1))
    peer = packed("2001:db8::1")
    seen = [both.charge(peer, rcode, 1.0) for rcode in (0, 0, 0, 3, 3, 2, 5, 2)]
    assert seen == [PASS, PASS, SLIP, PASS, SLIP, PASS, PASS, PASS]
    assert both.charge(packed("2001:db8:0:ff::1"), 0, 1.0) == SLIP
    assert both.charge(packed("2001:db8:0:100::1"), 0, 1.0) == PASS


def test_only_counting_holds_nothing_back_and_the_exempt_are_not_charged() -> None:
    both = guards()
    both.take_rates(limits(only_count=True))
    assert {both.charge(packed("192.0.2.1"), 0, 1.0) for _ in range(20)} == {PASS}
    assert both.counts()["rate/over"] == 15
    first, last = (array("I", [int(ip_address(text))]) for text in ("192.0.2.0", "192.0.2.127"))
    empty = array("Q")
    both.take_rates(limits(exempt=Peers(first, last, empty, empty, empty, empty)))
    assert {both.charge(packed("192.0.2.1"), 0, 1.0) for _ in range(20)} == {PASS}
    assert both.counts()["rate/over"] == 15
    both.take_rates(None)
    assert not both.limits


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 32))
def test_twins_charge_alike(seed: int) -> None:
    roll = random.Random(seed)
    both = guards()
    both.take_rates(
        limits(
            per_second=tuple(roll.choice((0.0, 1.0, 3.0, 1000.0)) for _ in range(3)),
            slip=roll.randrange(4),
            window=float(roll.randint(1, 20)),
            prefix4=roll.choice((8, 24, 32)),
            prefix6=roll.choice((16, 56, 64)),
        )
    )
    now = roll.choice((0.0, 1e6))
    for _ in range(200):
        now += roll.choice((0.0, 0.0, 0.1, 5.0))
        peer = bytes(roll.randrange(3) for _ in range(roll.choice((4, 16))))
        both.flood(peer, now)
        both.charge(peer, roll.choice((0, 0, 3, 5)), now)


def test_forged_networks_cannot_fill_the_memory() -> None:
    for each in (pure.FastPath(8).guard, native.FastPath(8).guard):
        each.take_rates(limits())
        roll = random.Random(1)
        seen: Counter[int] = Counter()
        for number in range(200_000):
            peer = roll.randbytes(4) if number % 10 else packed("192.0.2.1")
            verdict = each.charge(peer, 0, 1.0 + number / 20_000)
            if number % 10 == 0:
                seen[verdict] += 1
        # 20,000 for one network in ten seconds, among 180,000 that come once.
        assert seen[PASS] < 1000
