"""Fetching a database file over the network, with limits, and without telling any key."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import io
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from geodns.errors import DatabaseError

TIMEOUT = 30.0
"""Seconds without any octet before a server counts as gone."""
DEADLINE = 1800.0
"""Seconds that a whole download may take."""
MOST_OCTETS = 1 << 30
"""Octets of the largest file that is taken, packed or unpacked."""
MAXMIND = "https://download.maxmind.com"

_CHUNK = 1 << 16


def fetch(
    url: str,
    *,
    credentials: tuple[str, str] | None = None,
    most: int = MOST_OCTETS,
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """Get the octets behind an http, https or file URL.

    credentials: user and password for basic authentication, sent to that host only and
    never to where it redirects. progress gets (octets so far, octets in all or 0). Raises
    DatabaseError; its text holds neither query nor credentials.
    """
    shown = show_url(url)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "geodns"})
        if credentials is not None:
            token = base64.b64encode(":".join(credentials).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {token}")
        opener = urllib.request.build_opener(_Redirects())
        with opener.open(request, timeout=TIMEOUT) as answer:
            return _read(answer, shown, most, progress or (lambda done, total: None))
    except urllib.error.HTTPError as error:
        raise DatabaseError(f"{shown}: {_status(error.code)}") from None
    except urllib.error.URLError as error:
        raise DatabaseError(f"{shown}: {getattr(error.reason, 'strerror', None) or error.reason}") \
            from None  # fmt: skip
    except TimeoutError:
        raise DatabaseError(f"{shown}: no answer within {TIMEOUT:.0f} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise DatabaseError(f"{shown}: the transfer broke ({type(error).__name__})") from None
    except ValueError:
        raise DatabaseError(f"{shown}: this is no URL that can be fetched") from None


def show_url(url: str) -> str:
    """A URL as it may be shown: without user, password, query and fragment.

    Raises DatabaseError for schemes other than http, https and file, and for credentials
    inside the URL.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise DatabaseError("the URL cannot be read") from None
    if parts.scheme not in ("http", "https", "file"):
        raise DatabaseError("give an http, https or file URL")
    if parts.username is not None:
        raise DatabaseError("credentials inside a URL end up in logs; they are not taken")
    if parts.scheme == "file":
        return f"file://{parts.path}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Follow to http and https only, and never from https to http."""
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or req.type == "https" != scheme:
            raise urllib.error.URLError("it redirects to where one should not follow")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _status(code: int) -> str:
    if code in (401, 403):
        return f"the server refused (HTTP {code}); check the account and the licence key"
    if code == 429:
        return "too many downloads today (HTTP 429); try again tomorrow"
    return f"the server answered HTTP {code}"


def _read(answer: Any, shown: str, most: int, progress: Callable[[int, int], None]) -> bytes:
    length = answer.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else 0
    too_large = DatabaseError(f"{shown}: larger than {most >> 20} MiB, which no database is")
    if total > most:
        raise too_large
    give_up = time.monotonic() + DEADLINE
    taken = bytearray()
    while chunk := answer.read(_CHUNK):
        taken += chunk
        if len(taken) > most:
            raise too_large
        if time.monotonic() > give_up:
            raise DatabaseError(f"{shown}: not done within {DEADLINE / 60:.0f} minutes")
        progress(len(taken), total)
    if total and len(taken) < total:
        raise DatabaseError(f"{shown}: cut after {len(taken)} of {total} octets")
    return bytes(taken)


def fetch_maxmind(
    edition: str,
    account: str,
    key: str,
    *,
    base: str = MAXMIND,
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """Get an edition (``GeoLite2-Country``) from MaxMind, checked against its SHA-256.

    Source of the addresses: MaxMind's documentation, "Updating databases", direct download.
    """
    if not edition.replace("-", "").isalnum():
        raise DatabaseError(f"{edition!r} is no edition; give one such as GeoLite2-Country")
    url = f"{base}/geoip/databases/{edition}/download?suffix=tar.gz"
    credentials = (account, key)
    digest = fetch(f"{url}.sha256", credentials=credentials, most=4096).split()
    data = fetch(url, credentials=credentials, progress=progress)
    if not digest or digest[0].decode("ascii", "replace") != hashlib.sha256(data).hexdigest():
        raise DatabaseError(f"{show_url(url)}: the SHA-256 that MaxMind gives does not match")
    return data


def unpack(data: bytes, name: str, most: int = MOST_OCTETS) -> bytes:
    """Take the MMDB out of a .gz, .tar, .tar.gz or .tgz; anything else is returned as it is.

    name: which member to take (``x.mmdb``) where an archive has several. Raises
    DatabaseError.
    """
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                data = packed.read(most + 1)
        except (OSError, EOFError, zlib.error):
            raise DatabaseError("the download is damaged: its gzip data cannot be read") from None
        if len(data) > most:
            raise DatabaseError(f"the download unpacks to more than {most >> 20} MiB")
    if data[257:262] != b"ustar":
        return data
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            members = [
                member
                for member in archive.getmembers()
                if member.isfile() and member.name.endswith(".mmdb")
            ]
            return _member(archive, members, name)
    except (tarfile.TarError, OSError, EOFError, ValueError):
        raise DatabaseError("the download is damaged: its archive cannot be read") from None


def _member(archive: tarfile.TarFile, members: list[tarfile.TarInfo], name: str) -> bytes:
    by_name = {member.name.rsplit("/", 1)[-1]: member for member in members}
    if not by_name:
        raise DatabaseError("there is no .mmdb file in the downloaded archive")
    chosen = by_name.get(name) if len(by_name) > 1 else next(iter(by_name.values()))
    if chosen is None:
        raise DatabaseError(
            f"the archive holds {', '.join(sorted(by_name))}; name one of them with --to"
        )
    file = archive.extractfile(chosen)
    return b"" if file is None else file.read()
