"""DNS over HTTPS to an upstream server (RFC 8484): HTTP/2 on a connection that is kept.

Only here h2 is imported, and this module only where such a server is set.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from geodns.model.response import read_response
from geodns.upstream.stream import Connection, Streams

if TYPE_CHECKING:
    from geodns.upstream.server import Server

ALPN = "h2"
_MEDIA_TYPE = "application/dns-message"
_LARGEST = 65535  # octets of a message
_STREAMS = 1 << 30  # requests on a connection; their numbers end a little later


class HttpsConnection(Connection):
    """A connection on which each question is a request of its own."""

    def __init__(
        self,
        streams: Streams,
        server: Server,
        context: ssl.SSLContext | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._requests: dict[int, _Request] = {}
        self._sent: dict[int, int] = {}
        self._full: list[tuple[int, bytes]] = []
        super().__init__(streams, server, context, loop)

    def _greet(self) -> bool:
        assert self._transport is not None
        chosen = self._transport.get_extra_info("ssl_object").selected_alpn_protocol()
        if chosen != ALPN:
            self.fail("it does not speak HTTP/2")
            return False
        self._http.initiate_connection()
        self._http.update_settings({SettingCodes.ENABLE_PUSH: 0})
        self._flush()
        return True

    def _write(self, ident: int, body: bytes) -> None:
        if self._over:
            return
        message = bytes(2) + body
        if len(self._requests) >= self._http.remote_settings.max_concurrent_streams or (
            self._http.outbound_flow_control_window < len(message)
        ):
            self._full.append((ident, body))
            return
        address = self.server.address
        number = self._http.get_next_available_stream_id()
        self._requests[number] = _Request(ident)
        self._sent[ident] = number
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", address.authority),
            (":path", address.path),
            ("content-type", _MEDIA_TYPE),
            ("accept", _MEDIA_TYPE),
            ("content-length", str(len(message))),
        ]
        try:
            self._http.send_headers(number, headers)
            self._http.send_data(number, message, end_stream=True)
        except ProtocolError as error:
            self.fail(str(error), again=True)
            return
        self._flush()
        if number > _STREAMS:
            self.retire()

    def forget(self, ident: int) -> None:
        """Wait no longer for a reply with this number; the server need not work on it either."""
        number = self._sent.pop(ident, None)
        if number is not None and not self._over:
            self._cancel(number)
        super().forget(ident)

    def _cancel(self, number: int) -> None:
        del self._requests[number]
        try:
            self._http.reset_stream(number, ErrorCodes.CANCEL)
        except ProtocolError:
            return
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take frames."""
        try:
            events = self._http.receive_data(data)
        except ProtocolError as error:
            self.fail(f"HTTP/2: {error}")
            return
        for event in events:
            if self._over:
                return
            self._happened(event)
        self._flush()
        full, self._full = self._full, []
        for ident, body in full:
            if ident in self.pending and not self._over:
                self._write(ident, body)

    def _happened(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.fail("it ended the connection", again=True)
            return
        request = self._requests.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, DataReceived):
            # Also of requests that nobody waits for any more: the window is of all together.
            size = event.flow_controlled_length or 0
            if size:
                self._http.acknowledge_received_data(size, event.stream_id)
        if request is None:
            return
        if isinstance(event, ResponseReceived):
            request.take_headers(event.headers)
        elif isinstance(event, DataReceived):
            request.body += event.data
            if len(request.body) > _LARGEST:
                self._answered(event.stream_id, request)
        elif isinstance(event, StreamEnded | StreamReset):
            self._answered(event.stream_id, request)

    def _answered(self, number: int, request: _Request) -> None:
        del self._requests[number], self._sent[request.ident]
        self._take(request.ident, request.message())

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if data and self._transport is not None and not self._over:
            self._transport.write(data)


class _Request:
    """One request and what has come of its response."""

    __slots__ = ("age", "body", "ident", "proper")

    def __init__(self, ident: int) -> None:
        self.ident = ident
        self.body = bytearray()
        self.age = 0
        self.proper = False

    def take_headers(self, headers: Iterable[tuple[Any, Any]]) -> None:
        """Read what matters of the header: status, type and age."""
        told = {str(key).lower(): str(value) for key, value in headers}
        media_type = told.get("content-type", "").partition(";")[0].strip().lower()
        self.proper = told.get(":status") == "200" and media_type == _MEDIA_TYPE
        age = told.get("age", "")
        self.age = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0

    def message(self) -> bytes:
        """The DNS message, or nothing if it is none."""
        if not self.proper or len(self.body) > _LARGEST:
            return b""
        return _aged(bytes(self.body), self.age) if self.age else bytes(self.body)


def _aged(packet: bytes, age: int) -> bytes:
    """Count the TTLs down by what an HTTP cache has kept the message for (RFC 8484 section 5.1)."""
    try:
        offsets = read_response(packet).ttl_offsets
    except ValueError:
        return packet
    out = bytearray(packet)
    for at in offsets:
        ttl = int.from_bytes(out[at : at + 4], "big")
        out[at : at + 4] = max(ttl - age, 0).to_bytes(4, "big")
    return bytes(out)
