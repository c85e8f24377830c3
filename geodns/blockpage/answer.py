"""From one HTTP request to one reply: the rules of the page server.

The host, the client, and the order that blocks the one for the other: by its name, else by
where it leads. Then 451 with the notice, or 421 where nothing is blocked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geodns.blockpage import render
from geodns.blockpage.choose import choose, choose_by_answer
from geodns.blockpage.follow import Follower
from geodns.blockpage.forwarded import client_of
from geodns.blockpage.host import Host, HostFault, read_host
from geodns.blockpage.language import best, languages, preferences
from geodns.blockpage.notice import Notice, Operator, order_facts
from geodns.locate.client import Client, Networks
from geodns.serve.inforce import InForce

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
"""Whatever is asked of a blocked site is refused alike; other methods are not known here."""
TITLES = {
    400: "Bad Request",
    421: "Misdirected Request",
    451: "Unavailable For Legal Reasons",
    501: "Not Implemented",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What counts of an HTTP request. peer: the socket's, packed. hosts: every Host value.

    authority: of an absolute target, which Host then does not matter beside (RFC 9112
    section 3.2.2). lang: the ``lang`` of the query string. Lists hold the values of repeated
    fields in order.
    """

    method: str
    peer: bytes
    hosts: Sequence[str]
    authority: str | None = None
    lang: str | None = None
    accept: str = ""
    accept_language: str = ""
    forwarded: Sequence[str] = ()
    x_forwarded_for: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response, whole."""

    status: int
    headers: dict[str, str]
    body: bytes


class Answers:
    """Settings and orders in force, and what is answered under them. Belongs to one loop."""

    def __init__(self, settings: dict[str, Any], in_force: InForce) -> None:
        """settings: the JSON form of config.Settings."""
        self.counters: Counter[str] = Counter()
        self.follower: Follower | None = None
        self.apply(settings, in_force)

    def apply(self, settings: dict[str, Any], in_force: InForce) -> None:
        """Take over other settings and orders, for every answer from now on."""
        self._in_force = in_force
        self._trusted = Networks(settings["trust"]["forwarded"])
        self._clients = Networks(settings["server"]["clients"])
        self._operator = Operator.of(settings["blockpage"])
        self._language: str = settings["blockpage"]["language"]

    def trusts(self, peer: bytes) -> bool:
        """Whether a peer (packed address) is a listed proxy."""
        return peer in self._trusted

    async def answer(self, request: Request) -> Reply:
        """The reply to a request."""
        in_force = self._in_force
        notice = self._notice(request, in_force)
        if notice.status == 421:
            notice = await self._follow(notice, in_force)
        order = notice.order
        self.counters[f"blockpage/{notice.status}"] += 1
        if order is not None:
            self.counters[f"blockpage/order/{order.id}"] += 1
        return self._reply(notice, request)

    def bad(self) -> Reply:
        """The reply to what is no HTTP request."""
        self.counters["blockpage/400"] += 1
        return self._reply(Notice(400, self._operator), Request("GET", b"", ()))

    def client(self, request: Request) -> Client:
        """Whom a request is judged by."""
        return client_of(request.peer, self._trusted, request.forwarded, request.x_forwarded_for)

    async def _follow(self, notice: Notice, in_force: InForce) -> Notice:
        """Look at where a name leads that no order names.

        Only for those who may ask the resolver: others cannot have been sent here by it, and
        must not make this server ask.
        """
        host, choice = notice.host, notice.choice
        if self.follower is None or host is None or host.name is None or choice is None:
            return notice
        client = choice.located.client
        width = 4 if client.version == 4 else 16
        if client.prefix != width * 8 or client.address.to_bytes(width) not in self._clients:
            return notice
        async for response in self.follower.answers(host.name):
            choice = choose_by_answer(in_force, choice, response)
            if choice.order is not None:
                return Notice(451, self._operator, host, choice)
        return notice

    def _notice(self, request: Request, in_force: InForce) -> Notice:
        if request.method not in METHODS:
            return Notice(501, self._operator)
        try:
            host = self._host(request)
        except HostFault:
            return Notice(400, self._operator)
        choice = choose(in_force, self.client(request), host.name)
        return Notice(421 if choice.order is None else 451, self._operator, host, choice)

    def _host(self, request: Request) -> Host:
        if len(request.hosts) > 1:
            raise HostFault("several hosts")
        if request.authority is not None:
            return read_host(request.authority)
        if not request.hosts:
            raise HostFault("no host")
        return read_host(request.hosts[0])

    def _reply(self, notice: Notice, request: Request) -> Reply:
        wanted = preferences(request.accept_language)
        if request.lang is not None and best([request.lang], languages()):
            wanted.insert(0, request.lang)
        words = render.choose_words(wanted, self._language)
        headers = {
            # What is said depends on the visitor's place, which no cache knows.
            "Cache-Control": "no-store",
            "Content-Language": words.tag,
            "Vary": "Accept, Accept-Language",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "X-Robots-Tag": "noindex",
            "Server": "geodns",
        }
        if notice.status == 451:
            # The one who implements the block, not the one who ordered it (RFC 7725 section 4).
            headers["Link"] = f'<{notice.operator.url}>; rel="blocked-by"'
        if _wants_json(request.accept):
            headers["Content-Type"] = "application/problem+json"
            headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
            told = json.dumps(problem(notice), ensure_ascii=False, indent=1) + "\n"
        else:
            headers["Content-Type"] = "text/html; charset=utf-8"
            headers["Content-Security-Policy"] = (
                f"default-src 'none'; style-src '{render.style_hash()}'; img-src data:;"
                " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            )
            told = render.page(notice, words, wanted)
        return Reply(notice.status, headers, told.encode())


def problem(notice: Notice) -> dict[str, Any]:
    """The notice as problem details (RFC 9457), with members of our own beside them."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES[notice.status],
        "status": notice.status,
    }
    order = notice.order
    if notice.host is not None:
        document["host"] = notice.host.ascii
        document["place"] = notice.country
    if order is not None and notice.choice is not None:
        document["detail"] = order.disclosed.text or f"Blocked by order of {order.authority}"
        document["order"] = order_facts(notice.choice)
        document["blocked_by"] = notice.operator.url
    document["operator"] = {
        "name": notice.operator.name,
        "url": notice.operator.url,
        "contact": list(notice.operator.contact),
    }
    return document


def _wants_json(accept: str) -> bool:
    """Whether an Accept value asks for JSON by name, and not rather for HTML."""
    weights = {"html": 0.0, "json": 0.0}
    for part in accept.lower().split(",")[:20]:
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    weight = 0.0
        if kind in ("application/json", "application/problem+json"):
            weights["json"] = max(weights["json"], weight)
        elif kind in ("text/html", "application/xhtml+xml"):
            weights["html"] = max(weights["html"], weight)
    return weights["json"] > weights["html"]
