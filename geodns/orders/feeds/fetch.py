"""A list from its publisher: conditional GET, bounded in time and size, tried again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    import httpx

    headers = {"User-Agent": "geodns (list importer)", "Accept-Encoding": "gzip, identity"}
    headers |= {
        name: value
        for name, value in (
            ("If-None-Match", etag),
            ("If-Modified-Since", modified),
            ("Authorization", authorization),
        )
        if value
    }
    fault = FeedFault("it was not tried")
    for attempt in range(fetching.attempts):
        if attempt:
            # With jitter, so that not all resolvers of a country come back in the same second.
            time.sleep(2 ** (attempt - 1) * random.uniform(0.5, 1.5))
        try:
            with httpx.Client(
                timeout=fetching.timeout, follow_redirects=True, max_redirects=_REDIRECTS
            ) as client:
                return _get(client, url, headers, fetching)
        except _Again as again:
            fault = FeedFault(str(again))
        except httpx.TimeoutException:
            fault = FeedFault(f"its server did not answer within {fetching.timeout:g} s")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise FeedFault(f"it cannot be fetched: {error}") from None
        except httpx.HTTPError as error:
            fault = FeedFault(f"its server cannot be reached: {error or type(error).__name__}")
    raise fault


class _Again(Exception):
    """An answer after which it is worth asking once more."""


def _get(client: httpx.Client, url: str, headers: dict[str, str], fetching: Fetching) -> Fetched:
    began = time.monotonic()
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == 304:
            return Fetched(None)
        if response.status_code in _AGAIN:
            raise _Again(f"its server answered {response.status_code} {response.reason_phrase}")
        if response.status_code != 200:
            told = f"its server answered {response.status_code} {response.reason_phrase}"
            raise FeedFault(told)
        parts, size = [], 0
        for part in response.iter_bytes():
            size += len(part)
            if size > fetching.size:
                raise FeedFault(f"it is larger than {fetching.size:,} octets ([feeds] size)")
            if time.monotonic() - began > 10 * fetching.timeout:
                raise _Again(f"it took longer than {10 * fetching.timeout:g} s")
            parts.append(part)
        return Fetched(
            b"".join(parts), response.headers.get("ETag"), response.headers.get("Last-Modified")
        )
