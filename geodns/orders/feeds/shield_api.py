"""The API of Piracy Shield, Italy: login, what is to be blocked now, and what became of it.

What is in force are the three lists of all names and addresses; tickets say since when. A list
that was fetched becomes one document in the form of tickets (shield.py), so that from there on
it is like any other. docs/feeds.md tells where this is known from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from geodns.orders.feeds.fetch import AnswerFault, Fetching, ask, connected
from geodns.orders.feeds.formats import refuse_foreign
from geodns.orders.feeds.row import FeedFault, json_document, text_lines
from geodns.orders.feeds.shield import KINDS, opened_at, tickets_of, value_of
from geodns.orders.feeds.table import Feed

if TYPE_CHECKING:
    import httpx

PROCESSED = "processed"
"""What is told of an item that is in force; anything else is the reason why it is not."""
_LOGIN = "/v1/authentication/login"
_TICKETS = "/v1/ticket/get/all"
_REPORT = "/v1/ticket/item/set/"
_DENIED = frozenset((400, 401, 403, 422))


class Platform:
    """A session. Its token is kept here and nowhere else, and got anew where it has ended."""

    def __init__(self, feed: Feed, client: httpx.Client, fetching: Fetching) -> None:
        """feed: has a url, the base of all addresses, and credentials."""
        self._base = (feed.url or "").rstrip("/")
        self._variable = feed.credentials or ""
        self._client = client
        self._fetching = fetching
        self._token: str | None = None

    def listed(self) -> bytes:
        """All that is to be blocked now, as a JSON document of tickets. Raises FeedFault.

        Items of tickets that are in none of the lists are left out: they were lifted, or are not
        ordered yet. Items of the lists without a ticket are in one without a number.
        """
        # Tickets first: what comes meanwhile is then without a ticket, and not left out.
        data = self._get(_TICKETS)
        try:
            tickets = tickets_of(json_document(data))
        except FeedFault as fault:
            raise FeedFault(f"{_TICKETS}: {fault}") from None
        standing = {kind: self._list(f"/v1/{kind}/get/all/txt") for kind in KINDS}
        text = json.dumps(_joined(tickets, standing), ensure_ascii=False, indent=1)
        return text.encode("utf-8", "replace")

    def tell(self, value: str, what: str) -> None:
        """Report an item. what: PROCESSED, or why it is not. Raises FeedFault, AnswerFault."""
        if what == PROCESSED:
            self._ask("POST", f"{_REPORT}processed", {"value": value})
        else:
            self._ask("POST", f"{_REPORT}unprocessed", {"value": value, "reason": what})

    def _list(self, path: str) -> dict[str, str]:
        """The entries of a list by what they are compared by. An empty one is one."""
        data = self._get(path)
        try:
            if data.strip():
                refuse_foreign(data)
            if data.lstrip()[:1] in (b"{", b"["):
                raise FeedFault("it is JSON, perhaps an error, and no list")
            return {line.lower(): line for _, line in text_lines(data)}
        except FeedFault as fault:
            raise FeedFault(f"{path}: {fault}") from None

    def _get(self, path: str) -> bytes:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, document: object = None) -> bytes:
        fresh = self._token is None
        token = self._token or self._login()
        try:
            return self._send(method, path, document, {"Authorization": f"Bearer {token}"})
        except AnswerFault as fault:
            if fault.status != 401 or fresh:
                raise
        self._token = None
        return self._ask(method, path, document)

    def _login(self) -> str:
        email, password = _credentials(self._variable)
        try:
            data = self._send("POST", _LOGIN, {"email": email, "password": password}, {})
        except AnswerFault as fault:
            if fault.status not in _DENIED:
                raise
            told = f"it does not accept the credentials of {self._variable} ({fault.status})"
            raise FeedFault(told) from None
        try:
            refuse_foreign(data)
            found = json_document(data)
        except FeedFault as fault:
            raise FeedFault(f"{_LOGIN}: {fault}") from None
        inner = found.get("data") if isinstance(found, dict) else None
        token = inner.get("access_token") if isinstance(inner, dict) else None
        if not isinstance(token, str) or not token or not sendable(token):
            raise FeedFault(f"{_LOGIN}: it gives no access token")
        self._token = token
        return token

    def _send(self, method: str, path: str, document: object, headers: Mapping[str, str]) -> bytes:
        url = self._base + path
        try:
            data = ask(self._client, method, url, self._fetching, headers, document).data
        except AnswerFault as fault:
            raise AnswerFault(fault.status, path) from None
        if data is None:
            # "Not modified" answers a question that was not asked: it is no empty list.
            raise AnswerFault(304, path)
        return data


@contextmanager
def opened(feed: Feed, fetching: Fetching) -> Iterator[Platform]:
    """A session with the platform of a feed that names its API."""
    # A password is for one host: nobody is followed elsewhere with it.
    with connected(fetching, follow=False) as client:
        yield Platform(feed, client, fetching)


def last_opened(data: bytes) -> dict[str, float | None]:
    """Each item of a document of ``listed``, and when the last ticket that has it was opened.

    In epoch seconds; None where no ticket has it.
    """
    found: dict[str, float | None] = {}
    for ticket in json.loads(data):
        if not isinstance(ticket, dict):
            continue
        opened_ = opened_at(ticket)
        moment = None if opened_ is None else opened_.timestamp()
        for kind in KINDS:
            for value in ticket.get(kind, ()):
                before = found.get(value)
                if before is None or (moment is not None and moment > before):
                    found[value] = moment
    return found


def sendable(value: str) -> bool:
    """Whether a header can hold it: an error about one that cannot would show it."""
    return value.isascii() and value.isprintable()


def _credentials(variable: str) -> tuple[str, str]:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise FeedFault(f"the environment variable {variable} with its credentials is not set")
    email, colon, password = value.partition(":")
    if not value.isprintable():
        raise FeedFault(f"the environment variable {variable} holds what cannot be sent")
    if not email or not colon or not password:
        raise FeedFault(f"the environment variable {variable} does not hold email:password")
    return email, password


def _joined(tickets: list[Any], standing: dict[str, dict[str, str]]) -> list[Any]:
    left = {kind: dict(entries) for kind, entries in standing.items()}
    joined: list[Any] = []
    for ticket in tickets:
        if not isinstance(ticket, dict) or "ticket_id" not in ticket:
            # Not what it should be; counted as unreadable where rows are taken.
            joined.append(json.dumps(ticket, ensure_ascii=False)[:200])
            continue
        kept: dict[str, Any] = {"ticket_id": str(ticket["ticket_id"])}
        for kind in KINDS:
            items = ticket.get(kind)
            values = map(value_of, items if isinstance(items, list) else ())
            if here := [value for value in values if value.lower() in standing[kind]]:
                kept[kind] = here
                for value in here:
                    left[kind].pop(value.lower(), None)
        if len(kept) > 1:
            if (moment := opened_at(ticket)) is not None:
                kept["metadata"] = {"created_at": moment.isoformat()}
            joined.append(kept)
    if any(left.values()):
        strays = {kind: list(entries.values()) for kind, entries in left.items() if entries}
        joined.append({"ticket_id": "", **strays})
    return joined
