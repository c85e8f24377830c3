"""A list from its publisher: conditional GET, bounded in time and size, tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import responses
from typing import TYPE_CHECKING, Any

from geodns.orders.feeds.row import FeedFault

if TYPE_CHECKING:
    import httpx

_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Fetching:
    """The operator's settings for all feeds. timeout: seconds. size: octets. attempts: tries."""

    timeout: float = 30.0
    size: int = 64 << 20
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. data: None where the list has not changed."""

    data: bytes | None
    etag: str | None = None
    modified: str | None = None


class AnswerFault(FeedFault):
    """A server answered, and not with what was asked for. status: of HTTP. path: asked for."""

    def __init__(self, status: int, path: str | None = None) -> None:
        # Not in the server's own words, which might repeat what it was sent.
        told = f"its server answered {status} {responses.get(status, '')}".rstrip()
        super().__init__(told if path is None else f"{path}: {told}")
        self.status = status


def fetch(
    url: str,
    fetching: Fetching,
    *,
    etag: str | None = None,
    modified: str | None = None,
    authorization: str | None = None,
) -> Fetched:
    """Get a list, or learn that it has not changed since the validators given (RFC 9110 13.1).

    authorization: the value of the header, sent to the host of ``url`` only. Raises FeedFault
    that says what the publisher's server answered, without any credentials.
    """
    headers = {
        name: value
        for name, value in (
            ("If-None-Match", etag),
            ("If-Modified-Since", modified),
            ("Authorization", authorization),
        )
        if value
    }
    with connected(fetching) as client:
        return ask(client, "GET", url, fetching, headers)


@contextmanager
def connected(fetching: Fetching, *, follow: bool = True) -> Iterator[httpx.Client]:
    """What requests are sent through. follow: whether another address may be pointed to."""
    import httpx

    with httpx.Client(
        timeout=fetching.timeout,
        follow_redirects=follow,
        max_redirects=_REDIRECTS,
        headers={"User-Agent": "geodns (list importer)", "Accept-Encoding": "gzip, identity"},
    ) as client:
        yield client


def ask(
    client: httpx.Client,
    method: str,
    url: str,
    fetching: Fetching,
    headers: Mapping[str, str],
    document: object = None,
) -> Fetched:
    """Send a request, again where the answer may be another one soon.

    document: sent as JSON, if any. Raises AnswerFault for an answer that is none, and FeedFault.
    """
    import httpx

    fault = FeedFault("it was not tried")
    for attempt in range(fetching.attempts):
        if attempt:
            # With jitter, so that not all resolvers of a country come back in the same second.
            time.sleep(2 ** (attempt - 1) * random.uniform(0.5, 1.5))
        try:
            return _ask(client, method, url, fetching, headers, document)
        except _Again as again:
            fault = again.fault
        except httpx.TimeoutException:
            fault = FeedFault(f"its server did not answer within {fetching.timeout:g} s")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise FeedFault(f"it cannot be fetched: {error}") from None
        except httpx.HTTPError as error:
            fault = FeedFault(f"its server cannot be reached: {error or type(error).__name__}")
    raise fault


class _Again(Exception):
    """An answer after which it is worth asking once more."""

    def __init__(self, fault: FeedFault) -> None:
        self.fault = fault


def _ask(
    client: httpx.Client,
    method: str,
    url: str,
    fetching: Fetching,
    headers: Mapping[str, str],
    document: object,
) -> Fetched:
    began = time.monotonic()
    body: dict[str, Any] = {} if document is None else {"json": document}
    with client.stream(method, url, headers=headers, **body) as response:
        status = response.status_code
        if status == 304:
            return Fetched(None)
        if status in _AGAIN:
            raise _Again(AnswerFault(status))
        if status != 200 and not (method == "POST" and status in (201, 202, 204)):
            raise AnswerFault(status)
        parts, size = [], 0
        for part in response.iter_bytes():
            size += len(part)
            if size > fetching.size:
                raise FeedFault(f"it is larger than {fetching.size:,} octets ([feeds] size)")
            if time.monotonic() - began > 10 * fetching.timeout:
                raise _Again(FeedFault(f"it took longer than {10 * fetching.timeout:g} s"))
            parts.append(part)
        return Fetched(
            b"".join(parts), response.headers.get("ETag"), response.headers.get("Last-Modified")
        )
