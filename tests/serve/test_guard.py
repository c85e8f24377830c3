"""Cookies, limits on replies and shares of misses, as clients of the pipeline meet them."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from geodns.fastpath.cookie import siphash
from geodns.serve.secrets import FILE, Secrets, path_of, read_secrets, roll_secrets
from geodns.settings import Settings
from geodns.upstream.forward import UpstreamFailure
from tests.scenarios.asking import build, option
from tests.serve.test_pipeline import BLOCKED, FR, IT, OTHER, House

SECRET = bytes(range(16))
ZONE: dict[str, Any] = {
    "down.a": UpstreamFailure(22, "no upstream answered in time"),
    "free.a": ["free.a. 60 A 192.0.2.1"],
    "large.a": [f"large.a. 60 A 192.0.2.{host}" for host in range(70)],
}


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path, ZONE, [BLOCKED])
    made.pipeline.fast.guard.take_secrets([SECRET], 0.0)
    return made


def limit(house: House, **limits: Any) -> None:
    house.pipeline.apply(house.settings | {"limits": house.settings["limits"] | limits})


def cookie_of(told: bytes | None) -> bytes | None:
    """The cookie in a reply: where there is one it comes last."""
    assert told is not None
    return told[-24:] if told[-28:-24] == b"\0\x0a\0\x18" else None


def asked(name: str, cookie: bytes, **keys: Any) -> bytes:
    return build(name, options=option(10, cookie), **keys)


async def test_every_reply_to_a_cookie_carries_one(house: House) -> None:
    client = b"12345678"
    for name, peer, keys in (
        ("free.a", FR, {}),
        ("free.a", FR, {}),  # from the cache
        ("www.blocked.a", IT, {}),
        ("free.a", OTHER, {}),  # who is refused
        ("localhost", FR, {}),
        ("free.a", FR, {"qclass": "CH"}),
        ("free.a", FR, {"qtype": "AXFR"}),
        ("large.a", FR, {"edns": 512}),  # truncated
        ("down.a", FR, {}),
    ):
        told = await house.raw(asked(name, client, **keys), peer)
        found = cookie_of(told)
        assert found is not None, (name, peer, keys)
        assert (len(found), found[:8]) == (24, client)
        assert found[16:] == siphash(SECRET, found[:16] + peer)
    assert house.count("cookie/new") == 9


async def test_without_a_cookie_in_the_query_there_is_none_in_the_reply(house: House) -> None:
    assert cookie_of(await house.raw(build("free.a"), FR)) is None
    house.pipeline.fast.guard.take_secrets([], 0.0)
    assert cookie_of(await house.raw(asked("free.a", b"12345678"), FR)) is None


@pytest.mark.parametrize("size", [0, 1, 7, 9, 15, 41, 80])
async def test_a_malformed_cookie_is_a_format_error(house: House, size: int) -> None:
    told = await house.raw(asked("free.a", bytes(size)), FR)
    assert told is not None
    assert told[3] & 15 == 1
    assert cookie_of(told) is None
    assert house.count("malformed") == 1


async def test_only_the_first_cookie_counts(house: House) -> None:
    both = option(10, b"12345678") + option(10, b"bad")
    found = cookie_of(await house.raw(build("free.a", options=both), FR))
    assert found is not None
    assert found[:8] == b"12345678"


async def test_a_reply_never_outgrows_the_client_for_its_cookie(house: House) -> None:
    for size in range(512, 1232, 13):
        told = await house.raw(asked("large.a", b"12345678", edns=size), FR)
        assert told is not None
        assert len(told) <= size
        assert cookie_of(told) is not None


async def test_who_floods_is_cut_short_and_who_has_a_cookie_is_not(house: House) -> None:
    limit(house, responses_per_second=1, rate_slip=2)
    await house.raw(build("large.a", edns=1232), FR)
    flood = build("large.a", edns=1232)
    sent = await asyncio.gather(*(house.raw(flood, FR) for _ in range(100)))
    replies = [told for told in sent if told is not None]
    assert sum(map(len, replies)) < 100 * len(flood)
    slips = [told for told in replies if told[2] & 2]
    assert 40 <= len(slips) <= 50
    assert {told[6:12] for told in slips} == {b"\0\0\0\0\0\1"}
    assert house.count("rate/truncated") == len(slips)
    assert house.count("rate/dropped") >= 40

    # Over TCP it is served: it is where it says it is.
    over_tcp = await house.raw(flood, FR, stream=True)
    assert over_tcp is not None
    assert over_tcp[6:8] == b"\0\x46"
    # So is a neighbour of it that learns a cookie, at worst from a BADCOOKIE reply.
    told = None
    while told is None:
        told = await house.raw(asked("large.a", b"12345678", edns=1232), FR)
    assert (told[3] & 15, told[2] & 2) == (7, 0)  # 23, with the upper bits in OPT
    cookie = cookie_of(told)
    assert cookie is not None
    assert b"\0\0\x29\x04\xd0\x01" in told
    for _ in range(50):
        served = await house.raw(asked("large.a", cookie, edns=1232), FR)
        assert served is not None
        assert served[6:8] == b"\0\x46"


async def test_blocks_and_errors_are_charged_too(house: House) -> None:
    limit(house, responses_per_second=2, rate_slip=0)
    for packet, peer in (
        (build("www.blocked.a"), IT),
        (build("free.a"), OTHER),
        (build("free.a")[:-3], FR),
    ):
        sent = [await house.raw(packet, peer) for _ in range(10)]
        assert len([told for told in sent if told is not None]) == 2


async def test_one_network_cannot_take_all_the_room_for_misses(house: House) -> None:
    limit(house, client_misses=3)
    house.upstream.gate = asyncio.Event()
    house.upstream.zone |= {f"{number}.rnd.a": [] for number in range(10)}
    flood = [
        asyncio.ensure_future(house.raw(build(f"{number}.rnd.a"), bytes([127, 33, 0, number])))
        for number in range(10)
    ]
    await asyncio.sleep(0)
    other = asyncio.ensure_future(house.raw(build("free.a"), IT))
    done, _ = await asyncio.wait(flood, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0)
    over = [each.result() for each in flood if each.done()]
    assert len(over) == 7
    assert all(told is not None and told[3] & 15 == 2 for told in over)
    assert house.count("overload/client") == 7
    assert not other.done()
    house.upstream.gate.set()
    told = await other
    assert told is not None
    assert told[3] & 15 == 0
    await asyncio.gather(*flood)
    # The places are given back.
    assert (await house.ask("free.a", peer=FR)).rcode == "NOERROR"
    places = [house.pipeline.fast.enter(FR) for _ in range(4)]
    assert [place < 0 for place in places] == [False, False, False, True]
    assert done


def test_our_own_secrets_are_made_kept_and_renewed(tmp_path: Path) -> None:
    roll_secrets(tmp_path)
    path = tmp_path / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (first,) = read_secrets(path)
    roll_secrets(tmp_path)
    assert read_secrets(path) == (first,)
    os.utime(path, (1e9, 1e9))
    roll_secrets(tmp_path)
    second, before = read_secrets(path)
    assert before == first != second
    # Whatever became of the file, there is a good one again.
    path.write_text("nonsense\n")
    roll_secrets(tmp_path)
    assert len(read_secrets(path)) == 1


def test_workers_read_a_changed_file_and_keep_what_they_had(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.write_text(f"# the new one\n{SECRET.hex()}\n{bytes(16).hex()}  # going out\n")
    secrets = Secrets()
    assert secrets.current(path) == (SECRET, bytes(16))
    path.write_text("oops")
    assert secrets.current(path) == (SECRET, bytes(16))
    path.write_text(bytes(16).hex())
    assert secrets.current(path) == (bytes(16),)
    assert secrets.current(None) == ()


@pytest.mark.parametrize("text", ["", "00", "zz" * 16, "00" * 16 + " 00", f"{'00' * 16}\n" * 5])
def test_what_is_no_file_of_secrets(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secrets"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"line 1 is no secret|has \d secrets"):
        read_secrets(path)


def test_the_settings_say_which_file(tmp_path: Path) -> None:
    def path(**server: Any) -> Path | None:
        settings = Settings.model_validate({"server": {"state": tmp_path, **server}})
        return path_of(settings.model_dump(mode="json")["server"])

    assert path() == tmp_path / FILE
    assert path(cookie_secrets=tmp_path / "x") == tmp_path / "x"
    assert path(cookies=False, cookie_secrets=tmp_path / "x") is None


async def test_who_asks_over_tcp_is_told_how_long_it_may_be_idle(house: House) -> None:
    packet = build("free.a", options=option(11, b"") + option(10, b"12345678"))
    told = await house.raw(packet, FR, stream=True)
    assert told is not None
    assert b"\0\x0b\0\x02\0\x64" in told  # 100 times 100 ms
    assert cookie_of(told) is not None
    over_udp = await house.raw(packet, FR)
    assert over_udp is not None
    assert b"\0\x0b\0\x02" not in over_udp
