"""Forwarding, against scripted upstreams over real sockets on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from geodns.model.name import parse
from geodns.model.response import Response
from geodns.upstream.forward import Forwarder, TooManyMisses, UpstreamFailure
from tests.upstream.mock import QUESTION, Asked, Upstream, answer, negative

SHORT = 0.08  # seconds; long enough for loopback on a busy machine
LONG = 20.0  # seconds; a test that waits for it fails by pytest's own timeout or is slow to see


@asynccontextmanager
async def forwarding(
    servers: Sequence[str | Upstream],
    timeout: float = LONG,
    attempts: int = 1,
    misses: int = 100,
) -> AsyncIterator[Forwarder]:
    texts = [server if isinstance(server, str) else server.text for server in servers]
    forwarder = Forwarder(texts, timeout, attempts, misses)
    try:
        yield forwarder
    finally:
        forwarder.close()
        await asyncio.sleep(0)
        assert forwarder.in_flight == 0
        assert forwarder._waiting == 0
        assert not forwarder.servers


async def ask(
    forwarder: Forwarder, question: bytes = QUESTION, *, do: bool = False, cd: bool = False
) -> Response:
    return await forwarder.resolve(question, dnssec_ok=do, checking_disabled=cd)


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


def good(asked: Asked) -> None:
    asked.reply()


def silent(asked: Asked) -> None:
    pass


def rcode(code: int) -> Callable[[Asked], None]:
    return lambda asked: asked.send(negative(asked.packet, code))


def last_octet(response: Response) -> int:
    return response.addresses[0][-1]


def from_server(octet: int) -> Callable[[Asked], None]:
    return lambda asked: asked.reply(address=bytes((192, 0, 2, octet)))


def unused_port() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{udp.getsockname()[1]}"


async def test_a_question_is_asked_and_answered() -> None:
    async with Upstream(good) as upstream, forwarding([upstream]) as forwarder:
        response = await ask(forwarder)
    assert response.addresses == (b"\xc0\x00\x02\x01",)
    assert response.packet[:2] == b"\x00\x00"
    (asked,) = upstream.seen
    assert asked.query.question == QUESTION
    assert asked.query.flags == 0x0120  # RD, AD
    assert asked.query.edns is not None
    assert (asked.query.edns.size, asked.query.edns.dnssec_ok) == (1232, False)
    assert asked.query.edns.options == ()


async def test_do_and_cd_are_passed_on_and_kept_apart() -> None:
    async with Upstream(good) as upstream, forwarding([upstream]) as forwarder:
        await asyncio.gather(
            *(ask(forwarder, do=do, cd=cd) for do in (False, True) for cd in (False, True))
        )
    flags = {(asked.query.dnssec_ok, bool(asked.query.flags & 0x10)) for asked in upstream.seen}
    assert flags == {(False, False), (False, True), (True, False), (True, True)}


async def test_the_case_of_the_question_is_kept_and_a_reply_may_fold_it() -> None:
    mixed = b"\x03wWw\x07eXample\x03ORG\x00\x00\x01\x00\x01"
    async with (
        Upstream(lambda asked: asked.reply(question=QUESTION)) as upstream,
        forwarding([upstream]) as forwarder,
    ):
        response = await ask(forwarder, mixed)
    assert upstream.seen[0].query.question == mixed
    assert response.rcode == 0


async def test_ipv6() -> None:
    try:
        upstream = Upstream(good, host="::1")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    async with upstream, forwarding([upstream]) as forwarder:
        assert (await ask(forwarder)).addresses


async def test_ids_and_ports_are_not_foreseeable_and_sockets_are_bounded() -> None:
    async with Upstream(good) as upstream, forwarding([upstream], misses=2000) as forwarder:
        for _ in range(8):
            names = [parse(f"n{n}.example.org") + b"\x00\x01\x00\x01" for n in range(100)]
            await asyncio.gather(*(ask(forwarder, name) for name in names))
        sockets = forwarder._row.servers[0].sockets
    idents = [asked.query.id for asked in upstream.seen]
    assert len(idents) == 800
    assert len(set(idents)) > 750
    assert max(idents) - min(idents) > 50_000
    assert len(set(upstream.sources)) >= 800 / 32
    assert max(map(upstream.sources.count, set(upstream.sources))) <= 32
    steps = [second - first for first, second in pairwise(idents)]
    assert len(set(steps)) > 700
    assert sockets <= 16


async def test_two_questions_in_a_row_seldom_share_a_port() -> None:
    async with Upstream(good) as upstream, forwarding([upstream]) as forwarder:
        for _ in range(100):
            await ask(forwarder)
    same = sum(a == b for a, b in pairwise(upstream.sources))
    assert same < 30


WRONG: list[Callable[[Asked], None]] = [
    lambda asked: asked.reply(ident=bytes((asked.packet[0] ^ 1, asked.packet[1]))),
    lambda asked: asked.reply(question=parse("www.example.com") + b"\x00\x01\x00\x01"),
    lambda asked: asked.reply(question=QUESTION[:-4] + b"\x00\x1c\x00\x01"),
    lambda asked: asked.reply(question=QUESTION[:-4] + b"\x00\x01\x00\x03"),
    lambda asked: asked.reply(flags=0x0180),
    lambda asked: asked.reply(flags=0xA180),
    lambda asked: asked.send(b""),
    lambda asked: asked.send(b"\x00" * 11),
    lambda asked: asked.send(asked.packet[:2] + os.urandom(40)[:40].replace(b"\x80", b"\x00")),
    lambda asked: asked.send(asked.packet[:2] + b"\x81\x80\x00\x00" + b"\x00" * 6),
    lambda asked: asked.send(asked.packet),
]


@pytest.mark.parametrize("wrong", range(len(WRONG)))
async def test_what_does_not_match_is_passed_over_and_the_right_reply_is_taken(wrong: int) -> None:
    def script(asked: Asked) -> None:
        WRONG[wrong](asked)
        asked.reply(address=b"\xc0\x00\x02\x63")

    async with Upstream(script) as upstream, forwarding([upstream]) as forwarder:
        response = await ask(forwarder)
        assert last_octet(response) == 0x63
        assert forwarder.counters["mismatched"] == 1
        assert forwarder.counters["sent"] == 1


async def test_type_65_is_not_type_97() -> None:
    https = QUESTION[:-4] + b"\x00\x41\x00\x01"

    def script(asked: Asked) -> None:
        asked.reply(question=QUESTION[:-4] + b"\x00\x61\x00\x01", address=None)
        asked.reply(address=None)

    async with Upstream(script) as upstream, forwarding([upstream]) as forwarder:
        response = await ask(forwarder, https)
        assert forwarder.counters["mismatched"] == 1
    assert response.packet[response.question_end - 4 : response.question_end] == b"\x00\x41\x00\x01"


async def test_a_reply_from_another_port_or_address_is_not_seen() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other_port,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other_address,
    ):
        other_port.bind(("127.0.0.1", 0))

        def script(asked: Asked) -> None:
            forged = answer(asked.packet, address=b"\xc0\x00\x02\x66")
            other_port.sendto(forged, asked.source)
            other_address.sendto(forged, asked.source)
            asyncio.get_running_loop().call_later(0.01, asked.reply)

        async with Upstream(script) as upstream, forwarding([upstream]) as forwarder:
            other_address.bind(("127.0.0.2", upstream.port))
            assert last_octet(await ask(forwarder)) == 1


async def test_a_second_reply_changes_nothing() -> None:
    def script(asked: Asked) -> None:
        asked.reply()
        asked.reply(address=b"\xc0\x00\x02\x66")

    async with Upstream(script) as upstream, forwarding([upstream]) as forwarder:
        for _ in range(40):
            assert last_octet(await ask(forwarder)) == 1


async def test_silence_goes_to_the_next_server() -> None:
    async with (
        Upstream(silent) as first,
        Upstream(from_server(2)) as second,
        forwarding([first, second], SHORT) as forwarder,
    ):
        assert last_octet(await ask(forwarder)) == 2
        assert forwarder.counters["timeouts"] == 1
        assert forwarder.counters["failovers"] == 1
    assert len(first.seen) == len(second.seen) == 1


async def test_servers_are_asked_in_order() -> None:
    async with (
        Upstream(from_server(1)) as first,
        Upstream(from_server(2)) as second,
        forwarding([first, second]) as forwarder,
    ):
        for _ in range(5):
            assert last_octet(await ask(forwarder)) == 1
    assert not second.seen


async def test_a_late_reply_to_an_earlier_attempt_is_taken() -> None:
    def first(asked: Asked) -> None:
        if len(asked.upstream.seen) == 1:
            later.append(asked)

    def second(asked: Asked) -> None:
        later[0].reply(address=b"\xc0\x00\x02\x07")

    later: list[Asked] = []
    async with (
        Upstream(first) as one,
        Upstream(second) as two,
        forwarding([one, two], SHORT) as forwarder,
    ):
        assert last_octet(await ask(forwarder)) == 7


async def test_after_a_stall_replies_are_read_before_anybody_counts_as_silent() -> None:
    def script(asked: Asked) -> None:
        asked.reply()
        time.sleep(2 * SHORT)

    async with Upstream(script) as upstream, forwarding([upstream], SHORT) as forwarder:
        assert (await ask(forwarder)).addresses
        assert forwarder.counters["timeouts"] == 0


async def test_the_row_is_gone_through_attempts_times_then_it_fails() -> None:
    async with (
        Upstream(silent) as first,
        Upstream(silent) as second,
        forwarding([first, second], 0.03, attempts=3) as forwarder,
    ):
        with pytest.raises(UpstreamFailure) as caught:
            await ask(forwarder)
    assert caught.value.ede_code == 22
    assert first.text not in caught.value.text
    assert len(first.seen) == len(second.seen) == 3
    # every attempt has its own ID
    assert len({asked.query.id for asked in first.seen + second.seen}) > 3


async def test_a_lost_datagram_is_sent_again() -> None:
    def script(asked: Asked) -> None:
        if len(asked.upstream.seen) == 2:
            asked.reply()

    async with Upstream(script) as upstream, forwarding([upstream], SHORT, 2) as forwarder:
        assert (await ask(forwarder)).addresses
        assert forwarder.counters["failovers"] == 0


async def test_an_unreachable_server_is_left_at_once() -> None:
    async with (
        Upstream(from_server(2)) as second,
        forwarding([unused_port(), second]) as forwarder,
    ):
        assert last_octet(await ask(forwarder)) == 2
        assert forwarder.counters["errors"] == 1
        assert forwarder.counters["timeouts"] == 0


async def test_all_unreachable_is_a_network_error_without_delay() -> None:
    async with forwarding([unused_port(), unused_port()], attempts=2) as forwarder:
        for _ in range(3):
            with pytest.raises(UpstreamFailure) as caught:
                await ask(forwarder)
            assert caught.value.ede_code == 23


async def test_a_server_that_comes_back_is_used_again_without_a_restart() -> None:
    address = unused_port()
    async with forwarding([address], attempts=2) as forwarder:
        with pytest.raises(UpstreamFailure):
            await ask(forwarder)
        upstream = Upstream(good)
        async with upstream:
            forwarder.servers = [upstream.text]
            assert (await ask(forwarder)).addresses


async def test_a_dead_server_is_not_waited_for_by_every_miss_and_not_given_up() -> None:
    async with (
        Upstream(silent) as first,
        Upstream(from_server(2)) as second,
        forwarding([first, second], 0.03) as forwarder,
    ):
        for _ in range(10):
            assert last_octet(await ask(forwarder)) == 2
        assert len(first.seen) == 3
        # when its time is up a question that was answered is put to it as well: nobody waits
        server = forwarder._row.servers[0]
        server.away_until = forwarder._row.probe_at = asyncio.get_running_loop().time()
        first.udp = from_server(1)
        assert last_octet(await ask(forwarder)) == 2
        await until(lambda: server.away_until == 0)
        assert forwarder.counters["probes"] == 1
        forwarder._row._again_at = 0
        assert last_octet(await ask(forwarder)) == 1


async def test_a_shunned_server_is_still_asked_if_no_other_answers() -> None:
    async with (
        Upstream(from_server(1)) as first,
        forwarding([first, unused_port()], SHORT) as forwarder,
    ):
        forwarder._row.servers[0].unreachable(asyncio.get_running_loop().time())
        assert last_octet(await ask(forwarder)) == 1


@pytest.mark.parametrize("code", [2, 4, 5])
async def test_another_server_may_do_better(code: int) -> None:
    async with (
        Upstream(rcode(code)) as first,
        Upstream(from_server(2)) as second,
        forwarding([first, second], attempts=2) as forwarder,
    ):
        assert last_octet(await ask(forwarder)) == 2


async def test_the_last_bad_response_is_passed_on_if_none_is_better() -> None:
    def bogus(asked: Asked) -> None:
        ede = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x06\x00\x0f\x00\x02\x00\x06"
        asked.send(negative(asked.packet, 2)[:-11] + ede)

    async with (
        Upstream(rcode(5)) as first,
        Upstream(bogus) as second,
        forwarding([first, second], attempts=3) as forwarder,
    ):
        response = await ask(forwarder)
    assert response.rcode == 2
    assert response.ede == (b"\x00\x06",)
    assert response.lifetime == 0
    assert len(first.seen) == len(second.seen) == 1


async def test_a_bad_response_is_better_than_none() -> None:
    async with (
        Upstream(silent) as first,
        Upstream(rcode(2)) as second,
        forwarding([first, second], 0.03, 2) as forwarder,
    ):
        assert (await ask(forwarder)).rcode == 2
    assert len(first.seen) == 2
    assert len(second.seen) == 1


@pytest.mark.parametrize("code", [0, 3])
async def test_no_such_name_and_no_data_are_answers(code: int) -> None:
    async with (
        Upstream(rcode(code)) as first,
        Upstream(good) as second,
        forwarding([first, second]) as forwarder,
    ):
        assert (await ask(forwarder)).rcode == code
    assert not second.seen


@pytest.mark.parametrize("bare", [True, False])
async def test_a_server_without_edns_is_asked_without(bare: bool) -> None:
    def script(asked: Asked) -> None:
        if asked.query.edns is None:
            asked.reply()
        elif bare:
            asked.send(asked.packet[:2] + b"\x80\x01" + b"\x00" * 8)
        else:
            asked.send(answer(asked.packet, flags=0x8181, address=None, edns=False))

    async with Upstream(script) as upstream, forwarding([upstream]) as forwarder:
        assert (await ask(forwarder)).addresses
    assert [asked.query.edns is None for asked in upstream.seen] == [False, True]
    assert upstream.seen[1].packet[10:12] == b"\x00\x00"


async def test_format_error_with_and_without_edns_goes_on() -> None:
    async with (
        Upstream(rcode(1)) as first,
        Upstream(from_server(2)) as second,
        forwarding([first, second]) as forwarder,
    ):
        assert last_octet(await ask(forwarder)) == 2
    assert len(first.seen) == 2


async def test_a_malformed_reply_goes_to_the_next_server() -> None:
    async with (
        Upstream(lambda asked: asked.send(answer(asked.packet)[:-13])) as first,
        Upstream(from_server(2)) as second,
        forwarding([first, second]) as forwarder,
    ):
        assert last_octet(await ask(forwarder)) == 2
        assert forwarder.counters["malformed"] == 1


def truncated(asked: Asked) -> None:
    asked.reply(flags=0x8380, address=None)


async def test_truncation_is_retried_over_tcp() -> None:
    async with (
        Upstream(truncated, from_server(9)) as upstream,
        forwarding([upstream]) as forwarder,
    ):
        response = await ask(forwarder, do=True)
        assert forwarder.counters["tcp"] == 1
    assert last_octet(response) == 9
    udp, tcp = upstream.seen
    assert tcp.query.question == udp.query.question
    assert tcp.query.dnssec_ok


async def test_a_large_reply_comes_in_pieces_and_behind_another_message() -> None:
    def tcp(asked: Asked) -> None:
        asked.reply(ident=bytes((asked.packet[0] ^ 1, asked.packet[1])))
        records = b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x01\x2c\x00\x65\x64" + b"x" * 100
        packet = bytearray(answer(asked.packet, address=None, edns=False) + records * 500)
        packet[6:8] = (500).to_bytes(2, "big")
        asked.send(bytes(packet))

    async with Upstream(truncated, tcp) as upstream, forwarding([upstream]) as forwarder:
        assert len((await ask(forwarder)).records) == 500


TCP_FAULTS: dict[str, Callable[[Asked], None] | None] = {
    "refused": None,
    "cut at once": lambda asked: asked.cut(),
    "cut inside": lambda asked: (asked.send(b"x" * 100), asked.cut())[1],
    "wrong question": lambda asked: asked.reply(question=b"\x00\x00\x01\x00\x01"),
    "truncated again": truncated,
    "garbage": lambda asked: asked.send(asked.packet[:2] + b"\xff" * 30),
    "too short": lambda asked: asked.send(asked.packet[:2]),
    "malformed": lambda asked: asked.send(answer(asked.packet)[:-13]),
    "server failure": rcode(2),
}


@pytest.mark.parametrize("fault", TCP_FAULTS)
async def test_when_tcp_fails_the_next_server_is_asked(fault: str) -> None:
    async with (
        Upstream(truncated, TCP_FAULTS[fault]) as first,
        Upstream(from_server(2)) as second,
        forwarding([first, second]) as forwarder,
    ):
        assert last_octet(await ask(forwarder)) == 2
        assert forwarder.counters["tcp"] == 1


async def test_silence_over_tcp_times_out() -> None:
    async with (
        Upstream(truncated, silent) as upstream,
        forwarding([upstream], SHORT) as forwarder,
    ):
        with pytest.raises(UpstreamFailure) as caught:
            await ask(forwarder)
    assert caught.value.ede_code == 22


async def test_callers_share_one_query_and_cancelling_one_leaves_the_others() -> None:
    held: list[Asked] = []
    async with Upstream(held.append) as upstream, forwarding([upstream]) as forwarder:
        upper = QUESTION[:-4].upper() + QUESTION[-4:]
        callers = [asyncio.create_task(ask(forwarder, q)) for q in (QUESTION, upper, QUESTION)]
        await until(lambda: bool(held))
        callers[0].cancel()
        await asyncio.sleep(0)
        held[0].reply()
        found = await asyncio.gather(*callers, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert isinstance(found[1], Response)
        assert found[1] is found[2]
        assert forwarder.counters["shared"] == 2
        assert len(upstream.seen) == 1
        # and the next one asks anew
        task = asyncio.create_task(ask(forwarder))
        await until(lambda: len(held) == 2)
        held[1].reply()
        await task


async def test_all_who_share_learn_of_a_failure() -> None:
    async with Upstream(silent) as upstream, forwarding([upstream], 0.03) as forwarder:
        found = await asyncio.gather(*(ask(forwarder) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [UpstreamFailure] * 3
    assert len({id(one) for one in found}) == 3


async def test_misses_in_flight_are_bounded_and_so_are_those_who_wait() -> None:
    held: list[Asked] = []
    async with Upstream(held.append) as upstream, forwarding([upstream], misses=3) as forwarder:
        names = [parse(f"n{n}.example.org") + b"\x00\x01\x00\x01" for n in range(4)]
        tasks = [asyncio.create_task(ask(forwarder, name)) for name in names[:3]]
        await asyncio.sleep(0)
        with pytest.raises(TooManyMisses):
            await ask(forwarder, names[3])
        tasks += [asyncio.create_task(ask(forwarder, names[0])) for _ in range(27)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyMisses):
            await ask(forwarder, names[0])
        await until(lambda: len(held) == 3)
        for asked in held:
            asked.reply()
        assert len(await asyncio.gather(*tasks)) == 30
        upstream.udp = good
        assert (await ask(forwarder, names[3])).addresses


async def test_servers_can_be_swapped_while_a_question_is_under_way() -> None:
    held: list[Asked] = []
    async with (
        Upstream(held.append) as first,
        Upstream(from_server(2)) as second,
        forwarding([first]) as forwarder,
    ):
        before = forwarder._row.servers[0]
        task = asyncio.create_task(ask(forwarder))
        await until(lambda: bool(held))
        forwarder.servers = [second.text]
        assert forwarder.servers == (second.text,)
        held[0].reply()
        assert last_octet(await task) == 1
        assert last_octet(await ask(forwarder)) == 2
        assert before.sockets == 0


async def test_servers_that_stay_keep_what_is_known_of_them() -> None:
    async with forwarding(["127.0.0.1:5300", "127.0.0.2"]) as forwarder:
        known = forwarder._row.servers[1]
        forwarder.servers = ["127.0.0.2:53", "127.0.0.3", "127.0.0.2"]
        assert forwarder.servers == ("127.0.0.2:53", "127.0.0.3:53")
        assert forwarder._row.servers[0] is known


async def test_closing_tells_who_waits_and_leaves_no_descriptor() -> None:
    descriptors = Path("/proc/self/fd")
    async with Upstream(truncated, silent) as streaming, Upstream(silent) as upstream:
        before = len(list(descriptors.iterdir()))
        forwarder = Forwarder([upstream.text], LONG, 1, 100)
        names = [parse(f"n{n}.example.org") + b"\x00\x01\x00\x01" for n in range(60)]
        tasks = [asyncio.create_task(ask(forwarder, name)) for name in names]
        await asyncio.sleep(0.01)
        forwarder.servers = [streaming.text]
        tasks.append(asyncio.create_task(ask(forwarder)))
        await until(lambda: forwarder.counters["tcp"] > 0)
        assert len(list(descriptors.iterdir())) > before
        forwarder.close()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(one) for one in found} == {UpstreamFailure}
        for writer in streaming._writers:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0)
        assert len(list(descriptors.iterdir())) <= before
        with pytest.raises(UpstreamFailure):
            await ask(forwarder)


async def test_many_slow_questions_among_quick_ones_do_not_use_up_descriptors() -> None:
    def script(asked: Asked) -> None:
        if not asked.query.folded.startswith(b"\x04slow"):
            asked.reply()

    async with Upstream(script) as upstream, forwarding([upstream], misses=3000) as forwarder:
        tasks = []
        for n in range(200):
            slow = b"\x04slow" + parse(f"s{n}.example.org") + b"\x00\x01\x00\x01"
            tasks.append(asyncio.create_task(ask(forwarder, slow)))
            await asyncio.gather(
                *(
                    ask(forwarder, parse(f"q{n}-{i}.example") + b"\x00\x01\x00\x01")
                    for i in range(8)
                )
            )
        assert forwarder._row.servers[0].sockets <= 128
        forwarder.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(forwarder._servers) == 0
