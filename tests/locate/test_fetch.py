from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from geodns.errors import DatabaseError
from geodns.locate.fetch import fetch, fetch_maxmind, show_url, unpack


class Host:
    """A web server on loopback. pages: path -> (status, headers, body)."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.seen: list[tuple[str, str | None]] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.seen.append((self.path, self.headers["Authorization"]))
                status, headers, body = host.pages.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def host() -> Iterator[Host]:
    running = Host()
    yield running
    running.close()


@pytest.fixture
def other() -> Iterator[Host]:
    running = Host()
    yield running
    running.close()


def test_fetch(host: Host) -> None:
    host.pages["/x.mmdb?a=1"] = (200, {}, b"data" * 50_000)
    steps: list[tuple[int, int]] = []
    got = fetch(f"{host.url}/x.mmdb?a=1", progress=lambda *step: steps.append(step))
    assert got == b"data" * 50_000
    assert steps[-1] == (200_000, 200_000)
    assert host.seen == [("/x.mmdb?a=1", None)]


def test_fetch_a_local_file(tmp_path: Path) -> None:
    (tmp_path / "x.mmdb").write_bytes(b"data")
    assert fetch((tmp_path / "x.mmdb").as_uri()) == b"data"
    with pytest.raises(DatabaseError, match=r"y\.mmdb"):
        fetch((tmp_path / "y.mmdb").as_uri())


@pytest.mark.parametrize(
    ("status", "said"), [(401, "licence key"), (404, "HTTP 404"), (429, "tomorrow")]
)
def test_a_server_that_refuses(host: Host, status: int, said: str) -> None:
    host.pages["/x?license_key=secret"] = (status, {}, b"no")
    with pytest.raises(DatabaseError, match=said) as caught:
        fetch(f"{host.url}/x?license_key=secret", credentials=("me", "hidden"))
    assert "secret" not in str(caught.value) and "hidden" not in str(caught.value)


def test_credentials_do_not_follow_a_redirect(host: Host, other: Host) -> None:
    host.pages["/x"] = (302, {"Location": f"{other.url}/y"}, b"")
    other.pages["/y"] = (200, {}, b"data")
    assert fetch(f"{host.url}/x", credentials=("me", "hidden")) == b"data"
    assert host.seen == [("/x", "Basic bWU6aGlkZGVu")]
    assert other.seen == [("/y", None)]


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_a_redirect_to_elsewhere_is_not_followed(host: Host, target: str) -> None:
    host.pages["/x"] = (302, {"Location": target}, b"")
    with pytest.raises(DatabaseError):
        fetch(f"{host.url}/x")


def test_too_large(host: Host) -> None:
    host.pages["/said"] = (200, {}, b"x" * 5000)
    host.pages["/lied"] = (200, {"Content-Length": "100000", "Connection": "close"}, b"x" * 50)
    with pytest.raises(DatabaseError, match="larger"):
        fetch(f"{host.url}/said", most=4999)
    assert len(fetch(f"{host.url}/said", most=5000)) == 5000
    with pytest.raises(DatabaseError, match=r"cut|broke"):
        fetch(f"{host.url}/lied")


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://h/x", "http://u:pw@h/x", "http://h:port/x", "http://[::1/x", "javascript:1"],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        fetch(url)
    assert "pw" not in str(caught.value)


def test_shown_urls_hold_no_secrets() -> None:
    assert show_url("https://h.example:8443/a/b?license_key=x#y") == "https://h.example:8443/a/b"
    assert show_url("http://[2001:db8::1]/a?b") == "http://[2001:db8::1]/a"


def test_nobody_listens() -> None:
    gone = Host()
    gone.close()
    with pytest.raises(DatabaseError, match="refused"):
        fetch(f"{gone.url}/x")


def archive(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"folder/{name.replace('_', '.')}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def test_maxmind(host: Host) -> None:
    page = "/geoip/databases/GeoLite2-Country/download?suffix=tar.gz"
    data = archive(README_txt=b"hello", GeoLite2_mmdb=b"database")
    host.pages[page] = (200, {}, data)
    digest = hashlib.sha256(data).hexdigest()
    host.pages[f"{page}.sha256"] = (200, {}, f"{digest}  GeoLite2-Country.tar.gz".encode())
    got = fetch_maxmind("GeoLite2-Country", "12", "key", base=host.url)
    assert unpack(got, "any") == b"database"
    assert [path for path, _ in host.seen] == [f"{page}.sha256", page]
    assert {token for _, token in host.seen} == {"Basic MTI6a2V5"}
    host.pages[page] = (200, {}, data + b"x")
    with pytest.raises(DatabaseError, match="SHA-256"):
        fetch_maxmind("GeoLite2-Country", "12", "key", base=host.url)
    with pytest.raises(DatabaseError, match="no edition"):
        fetch_maxmind("../x?y", "12", "key", base=host.url)


def test_unpack() -> None:
    assert unpack(b"plain", "x") == b"plain"
    assert unpack(gzip.compress(b"packed"), "x") == b"packed"
    several = archive(a_mmdb=b"A", b_mmdb=b"B")
    assert unpack(several, "b.mmdb") == b"B"
    with pytest.raises(DatabaseError, match=r"a\.mmdb, b\.mmdb"):
        unpack(several, "c.mmdb")
    with pytest.raises(DatabaseError, match=r"no \.mmdb"):
        unpack(archive(README_txt=b"hello"), "x")
    with pytest.raises(DatabaseError, match="more than"):
        unpack(gzip.compress(bytes(1 << 21)), "x", most=1 << 20)
    for cut in (20, len(several) // 2, len(several) - 4):
        with pytest.raises(DatabaseError, match="damaged"):
            unpack(several[:cut], "a.mmdb")
    whole = gzip.decompress(several)
    with pytest.raises(DatabaseError, match="damaged"):
        unpack(whole[:700], "a.mmdb")
