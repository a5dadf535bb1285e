"""A loopback server that takes a request whole, counts it, and answers with exactly given bytes."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

RESET = b"<reset>"
FINISH = b""
HANG = b"<hang>"


def http(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class MisbehavingServer:
    """`orders` counts the order requests that arrived whole: each one stands for a live order."""

    def __init__(self) -> None:
        self.orders: list[bytes] = []
        self.order_answer = FINISH
        self.read_answer = FINISH
        self.port = 0

    @asynccontextmanager
    async def serve(self) -> "AsyncIterator[MisbehavingServer]":
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                body = await reader.readexactly(length)
                answer = self._answer(head, body)
                if answer == HANG:
                    await asyncio.sleep(30)
                if answer == RESET:
                    raw = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.close()
                    return
                writer.write(answer)
                await writer.drain()
                if b"/fapi/v1/time" not in head:
                    writer.close()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, head: bytes, body: bytes) -> bytes:
        if b"/fapi/v1/time" in head:
            return http(b'{"serverTime":%d}' % (time.time_ns() // 1_000_000))
        if head.startswith(b"POST") and b"/fapi/v1/order" in head:
            self.orders.append(body)
            return self.order_answer
        return self.read_answer
