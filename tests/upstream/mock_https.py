"""A scripted DNS over HTTPS server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes, Settings

from tests.upstream.certificates import NAME, context

Headers = dict[str, str]


class Request:
    """One request, and the means to answer it."""

    def __init__(self, server: HttpsServer, line: _Line, stream: int, headers: Headers) -> None:
        self.server = server
        self.headers = headers
        self.packet = b""
        self._line = line
        self._stream = stream

    def reply(
        self,
        packet: bytes,
        status: str = "200",
        content_type: str = "application/dns-message",
        **more: str,
    ) -> None:
        headers = {":status": status, "content-type": content_type, **more}
        self._line.http.send_headers(self._stream, list(headers.items()))
        for at in range(0, len(packet), 16000):
            self._line.http.send_data(self._stream, packet[at : at + 16000])
        self._line.http.end_stream(self._stream)
        self._line.flush()

    def reset(self) -> None:
        self._line.http.reset_stream(self._stream)
        self._line.flush()

    def go_away(self) -> None:
        self._line.http.close_connection()
        self._line.flush()


class _Line(asyncio.Protocol):
    def __init__(self, server: HttpsServer) -> None:
        self.server = server
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.requests: dict[int, Request] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.server.lines.append(self)
        told = {SettingCodes.MAX_CONCURRENT_STREAMS: self.server.most}
        self.http.local_settings = Settings(client=False, initial_values=told)
        self.http.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        for event in self.http.receive_data(data):
            if isinstance(event, RequestReceived):
                headers = dict(event.headers)
                made = Request(self.server, self, event.stream_id, headers)
                self.requests[event.stream_id] = made
            elif isinstance(event, DataReceived):
                self.requests[event.stream_id].packet += event.data
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                request = self.requests[event.stream_id]
                self.server.seen.append(request)
                self.server.script(request)
            elif isinstance(event, StreamReset):
                self.server.cancelled += 1
        self.flush()

    def flush(self) -> None:
        self.transport.write(self.http.data_to_send())  # type: ignore[attr-defined]


class HttpsServer:
    """Serves DNS over HTTPS as its script says. most: requests at once on a connection."""

    def __init__(
        self,
        script: Callable[[Request], None],
        most: int = 100,
        names: tuple[str, ...] = (NAME,),
        alpn: str = "h2",
    ) -> None:
        self.script = script
        self.most = most
        self.seen: list[Request] = []
        self.lines: list[_Line] = []
        self.cancelled = 0
        self._context = context(*names, alpn=alpn)

    async def __aenter__(self) -> HttpsServer:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Line(self), "127.0.0.1", 0, ssl=self._context
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.text = f"https://{NAME}:{self.port}/dns-query@127.0.0.1"
        return self

    async def __aexit__(self, *_: object) -> None:
        for line in self.lines:
            line.transport.close()
        self._server.close()
        await self._server.wait_closed()
