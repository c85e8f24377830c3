"""Whatever a client sends, there is a reply; whatever a field holds, it is read or it is not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.blockpage.answer import Answers, Request
from geodns.blockpage.forwarded import UNKNOWN, client_of
from geodns.blockpage.host import HostFault, read_host
from geodns.blockpage.language import best, languages, preferences
from geodns.locate.client import Networks
from geodns.serve.inforce import InForce
from tests.blockpage.test_answer import ORDERS, PROXY, Outline, settings
from tests.serve.test_inforce import in_force

SYNTAX = (".", ":", "[", "]", '"', "\\", ",", ";", "*", "_", "-", "%", "@", "/", "=", " ", "\t")
WORDS = ("full", "example", "80", "::1", "192.0.2.1", "for=", "q=", "0.5", "it", "de-CH", "xn--")
ODD = ("application/json", "text/html", "unknown", "bücher", "<b>", "\x00", "\x7f", "\u202e", "ß")
BITS = st.sampled_from((*SYNTAX, *WORDS, *ODD, "\udcff"))
FIELD = st.one_of(st.text(max_size=40), st.lists(BITS, max_size=12).map("".join))
PEERS = st.one_of(
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=16, max_size=16),
    st.sampled_from([bytes((192, 0, 2, 1)), bytes((10, 1, 0, 1))]),
)
TRUSTED = Networks([PROXY])


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder: Path = tmp_path_factory.mktemp("page")
    orders: InForce = in_force(folder, *ORDERS)
    return Answers(settings(), orders)


@given(FIELD)
def test_a_host_is_read_or_is_none(text: str) -> None:
    try:
        host = read_host(text)
    except HostFault:
        return
    assert host.ascii.isascii()
    if host.name is not None:
        assert read_host(host.ascii) == host
        assert read_host(host.shown).name == host.name or "xn--" in host.shown


@given(PEERS, st.lists(FIELD, max_size=3), st.lists(FIELD, max_size=3))
def test_a_client_is_always_told(peer: bytes, forwarded: list[str], listed: list[str]) -> None:
    client = client_of(peer, TRUSTED, forwarded, listed)
    if peer not in TRUSTED:
        assert client.provenance == "peer"
    elif client.provenance == "peer":
        assert not forwarded and not listed
    else:
        assert client == UNKNOWN or client.prefix in (32, 128)


@given(FIELD)
def test_languages_are_told(field: str) -> None:
    assert best(preferences(field), languages()) in {*languages(), None}


@given(
    method=st.one_of(st.sampled_from(["GET", "HEAD", "POST", "TRACE"]), FIELD),
    peer=PEERS,
    hosts=st.lists(st.one_of(st.just("full.example"), FIELD), max_size=2),
    authority=st.one_of(st.none(), FIELD),
    lang=st.one_of(st.none(), FIELD),
    accept=FIELD,
    accept_language=FIELD,
    forwarded=st.lists(FIELD, max_size=2),
    x_forwarded_for=st.lists(FIELD, max_size=2),
)
def test_every_request_has_a_reply(answers: Answers, **fields: object) -> None:
    reply = asyncio.run(answers.answer(Request(**fields)))  # type: ignore[arg-type]
    assert reply.status in (400, 421, 451, 501)
    for name, value in reply.headers.items():
        assert value.isascii() and value.isprintable(), name
    body = reply.body.decode()
    if reply.headers["Content-Type"].startswith("text/html"):
        outline = Outline(body)
        assert outline.tags("script") == outline.tags("b") == []
    else:
        json.loads(body)
