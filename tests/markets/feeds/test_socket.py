"""Messages straight off the socket: in order, from the first byte on, errors told as they are."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from markets.feeds.socket import StreamSocket
from markets.venues.types import Quarantined
from tests.markets.feeds.test_framing import frame

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@asynccontextmanager
async def raw_server(answer: Callable[[bytes], list[bytes]]) -> AsyncIterator[str]:
    """Answer a handshake with these packets, `answer` given the key that it must prove."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(line[19:] for line in head.split(b"\r\n") if line[:18].lower().endswith(b"key:"))
        accept = base64.b64encode(hashlib.sha1(key.strip() + GUID).digest())  # noqa: S324
        for packet in answer(accept):
            writer.write(packet)
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def opened(url: str) -> StreamSocket:
    made = await connect(url, create_connection=StreamSocket, close_timeout=0.2)
    assert isinstance(made, StreamSocket)
    return made


async def heard(socket: StreamSocket, count: int) -> list[bytes]:
    messages: list[bytes] = []

    def hand(message: bytes) -> bool:
        messages.append(message)
        return len(messages) == count

    async with asyncio.timeout(10), socket:
        await socket.run(hand, _unexpected)
    return messages


def _unexpected(event: Quarantined) -> None:
    raise AssertionError(event)


def _switched(accept: bytes) -> bytes:
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


@pytest.mark.parametrize("size", [1_000, 40])
async def test_nothing_said_together_with_the_handshake_is_lost(size: int) -> None:
    def answer(accept: bytes) -> list[bytes]:
        whole = _switched(accept) + frame(b"one") + frame(b"two" * 50) + frame(b"three")
        return [whole[at : at + size] for at in range(0, len(whole), size)]

    async with raw_server(answer) as url:
        assert await heard(await opened(url), 3) == [b"one", b"two" * 50, b"three"]


async def test_refusal_is_read_to_its_end() -> None:
    body = b"HTTP/1.1 101 is not what you get"
    refused = [b"HTTP/1.1 429 Too Many\r\nContent-Length: 32\r\n\r\n", body[:5], body[5:]]
    async with raw_server(lambda _accept: refused) as url:
        with pytest.raises(InvalidStatus) as caught:
            await opened(url)
    assert (caught.value.response.status_code, caught.value.response.body) == (429, body)


async def test_fragments_join_in_order_with_whole_messages_and_pings() -> None:
    async def say(socket: ServerConnection) -> None:
        await socket.send("first")
        await socket.send(["se", "co", "nd"])
        await (await socket.ping())
        await socket.send("third")
        await socket.wait_closed()

    async with serve(say, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        assert await heard(await opened(url), 3) == [b"first", b"second", b"third"]


@pytest.mark.parametrize("code", [1000, 1011])
async def test_close_by_the_venue_ends_the_reading_after_the_last_message(code: int) -> None:
    async def say(socket: ServerConnection) -> None:
        await socket.send("last")
        await socket.close(code)

    said: list[bytes] = []

    def hand(message: bytes) -> bool:
        said.append(message)
        return False

    async with serve(say, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        socket = await opened(url)
        await socket.wait_closed()
        expected = ConnectionClosedOK if code == 1000 else ConnectionClosedError
        with pytest.raises(expected):
            await socket.run(hand, _unexpected)
    assert said == [b"last"]


async def test_what_the_reader_raises_comes_out_of_the_reading() -> None:
    def broken(_message: bytes) -> bool:
        raise ZeroDivisionError("a bug of ours")

    async def say(socket: ServerConnection) -> None:
        await socket.send("one")
        await socket.send("two")
        await socket.wait_closed()

    async with serve(say, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        async with await opened(url) as socket:
            with pytest.raises(ZeroDivisionError):
                await socket.run(broken, _unexpected)
