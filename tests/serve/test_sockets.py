from __future__ import annotations

import socket

import pytest

from geodns.errors import ServerError
from geodns.serve.sockets import ListenAddress, open_listeners, parse_listen


@pytest.mark.parametrize(
    ("text", "host", "port", "wildcard"),
    [
        ("127.0.0.1:5053", "127.0.0.1", 5053, False),
        ("0.0.0.0:0", "0.0.0.0", 0, True),
        ("[::1]:53", "::1", 53, False),
        ("[::]:53", "::", 53, True),
    ],
)
def test_listen_addresses(text: str, host: str, port: int, wildcard: bool) -> None:
    address = parse_listen(text)
    assert (address.host, address.port, address.wildcard) == (host, port, wildcard)
    assert str(address) == text


@pytest.mark.parametrize("text", ["localhost:53", "127.0.0.1", "127.0.0.1:65536", "[::1:53", ""])
def test_what_is_no_listen_address(text: str) -> None:
    with pytest.raises(ServerError, match="cannot listen"):
        parse_listen(text)


def test_each_worker_has_a_udp_and_a_tcp_socket_on_one_port() -> None:
    (listener,) = open_listeners(["127.0.0.1:0"], 3)
    try:
        assert listener.address.port != 0
        assert len(listener.udp) == len(listener.tcp) == 3
        names = {sock.getsockname() for sock in (*listener.udp, *listener.tcp)}
        assert names == {("127.0.0.1", listener.address.port)}
        assert not any(sock.getblocking() for sock in (*listener.udp, *listener.tcp))
    finally:
        listener.close()


def test_ipv6_sockets_leave_ipv4_alone() -> None:
    for attempt in range(5):
        (six,) = open_listeners(["[::]:0"], 1)
        try:
            assert six.udp[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
            (both,) = open_listeners([f"127.0.0.1:{six.address.port}"], 1)
            both.close()
            return
        except ServerError:
            # Somebody else may have that port on IPv4; nobody has five of them.
            if attempt == 4:
                raise
        finally:
            six.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
@pytest.mark.parametrize("shared", [False, True])
def test_a_taken_port_is_refused_even_if_it_may_be_shared(
    kind: socket.SocketKind, shared: bool
) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        name = "udp" if kind == socket.SOCK_DGRAM else "tcp"
        with pytest.raises(ServerError, match=rf"127\.0\.0\.1:{port} \({name}\).*taken"):
            open_listeners([f"127.0.0.1:{port}"], 2)


def test_a_failure_leaves_nothing_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    good = f"127.0.0.1:{port}"
    with pytest.raises(ServerError, match="no network interface"):
        open_listeners([good, "192.0.2.1:5353"], 2)
    with pytest.raises(ServerError, match="listed twice"):
        open_listeners([good, good], 2)
    for listener in open_listeners([good], 2):
        listener.close()


def test_addresses_are_shown_as_they_are_written() -> None:
    assert str(ListenAddress("2001:db8::1", 53)) == "[2001:db8::1]:53"
