"""geodns beside BIND, both before one NSD: compliance probes, and packets wrong on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import servers
from tests.live.asking import Client, send_all
from tests.live.compliance import NEEDED, QUIET, Pair, pair, probe, wrong
from tests.live.probes import PROBES, type_probes
from tests.live.wrong import packets

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(servers.missing(*NEEDED)), reason=servers.missing(*NEEDED) or "-"),
]


@pytest.fixture(scope="module", params=["native", "pure"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    patch = pytest.MonkeyPatch()
    if request.param == "pure":
        patch.setenv("GEODNS_PURE", "1")
    else:
        pytest.importorskip("geodns.fastpath.native")
        patch.delenv("GEODNS_PURE", raising=False)
    with pair(tmp_path_factory.mktemp("compliance")) as made:
        yield made
    patch.undo()


def test_every_probe_is_passed(both: Pair) -> None:
    found = probe(both.geodns, [*PROBES, *type_probes()])
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_geodns_reaches_what_bind_reaches(both: Pair) -> None:
    theirs = probe(both.bind, list(PROBES))
    ours = probe(both.geodns, list(PROBES))
    assert [name for name in ours if ours[name] and not theirs[name]] == []


def test_packets_wrong_on_purpose_are_answered_as_bind_does_or_for_a_reason(both: Pair) -> None:
    found = wrong(both)
    assert len(found) > 500
    unknown = [
        f"{each.why}: {each.geodns} / {each.bind}: {each.packet.hex()}"
        for each in found
        if each.reason is None
    ]
    assert unknown == []


def test_no_response_is_ever_answered(both: Pair) -> None:
    responses = [packet[:2] + bytes([packet[2] | 0x80]) + packet[3:] for _, packet in packets()
                 if len(packet) > 2]  # fmt: skip
    assert set(send_all(both.geodns, responses, QUIET, again=False)) == {None}


def test_over_tcp_wrong_packets_end_no_connection_that_can_be_kept(both: Pair) -> None:
    client = Client(int(both.geodns.server[1]), patience=QUIET)
    for why, packet in packets():
        if len(packet) >= 12 and not packet[2] & 0x80 and not why.startswith(("noise", "option")):
            assert client.send(packet, stream=True) is not None, why
