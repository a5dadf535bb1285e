"""A small SOCKS5 proxy with a password (RFC 1928, RFC 1929): what the demo's accounts go out by.

It takes people to loopback alone, leaves by an address of its own, and writes down every tunnel
before the first byte goes through. `python -m controlplane.demo.relay` reads its settings as a
JSON line from standard input, where no other user sees the password.
"""

import asyncio
import hmac
import ipaddress
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

VERSION: Final = 5
WITH_PASSWORD: Final = 2
NO_METHOD: Final = 0xFF
CONNECT: Final = 1
IPV4, NAME, IPV6 = 1, 3, 4
DONE, NOT_ALLOWED, REFUSED, NO_COMMAND = 0, 2, 5, 7
HANDSHAKE_SECONDS: Final = 10.0
CHUNK: Final = 65536


@dataclass(frozen=True, slots=True)
class Relay:
    """A proxy at `ip`:`port`, which is where its tunnels come out too. `log` is a file."""

    ip: str
    port: int
    auth: str
    log: Path


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One connection made for somebody: the address it came out with, and where it went."""

    out: str
    to: str


class Closed(Exception):
    """The client is shown the door; `answer` says why, in the protocol's words."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


def serve(relay: Relay) -> None:
    """Serve until SIGTERM."""
    asyncio.run(_serve(relay))


def tunnels(log: Path) -> Iterator[Tunnel]:
    """Yield what a relay wrote down, oldest first; nothing when it never ran."""
    if log.exists():
        for line in log.read_text().splitlines():
            yield Tunnel(**json.loads(line))


async def _serve(relay: Relay) -> NoReturn:
    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, TimeoutError), _closing(writer):
            try:
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    inner = await _greet(relay, reader, writer)
            except Closed as closed:
                writer.write(closed.answer)
                return
            with _closing(inner[1]):
                await _join((reader, writer), inner)

    async with await asyncio.start_server(enter, relay.ip, relay.port) as server:
        await server.serve_forever()
    raise AssertionError("a server serves until it is cancelled")


async def _greet(
    relay: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Check who it is, connect where they ask to, and tell them that they are through."""
    _version, count = await reader.readexactly(2)
    if WITH_PASSWORD not in await reader.readexactly(count):
        raise Closed(bytes((VERSION, NO_METHOD)))
    writer.write(bytes((VERSION, WITH_PASSWORD)))
    _version, user_length = await reader.readexactly(2)
    user = await reader.readexactly(user_length)
    password = await reader.readexactly((await reader.readexactly(1))[0])
    if not hmac.compare_digest(user + b":" + password, relay.auth.encode()):
        raise Closed(bytes((1, 1)))
    writer.write(bytes((1, 0)))
    _version, command, _reserved, kind = await reader.readexactly(4)
    host, port = await _target(reader, kind)
    if command != CONNECT:
        raise Closed(_reply(NO_COMMAND))
    if not _is_loopback(host):
        raise Closed(_reply(NOT_ALLOWED))
    try:
        inner = await asyncio.open_connection(host, port, local_addr=(relay.ip, 0))
    except OSError:
        raise Closed(_reply(REFUSED)) from None
    out = inner[1].get_extra_info("sockname")
    with relay.log.open("a") as file:
        file.write(json.dumps({"out": f"{out[0]}:{out[1]}", "to": f"{host}:{port}"}) + "\n")
    writer.write(_reply(DONE))
    return inner


async def _target(reader: asyncio.StreamReader, kind: int) -> tuple[str, int]:
    if kind == NAME:
        length = (await reader.readexactly(1))[0]
        host = (await reader.readexactly(length)).decode("ascii", "replace")
    elif kind in (IPV4, IPV6):
        host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == IPV4 else 16)))
    else:
        raise Closed(_reply(NO_COMMAND))
    return host, int.from_bytes(await reader.readexactly(2))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # names are not looked up: they could lead anywhere


def _reply(code: int) -> bytes:
    return bytes((VERSION, code, 0, IPV4)) + bytes(6)


async def _join(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    other: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Carry bytes both ways until either side has ended."""
    ways = {
        asyncio.create_task(_carry(one[0], other[1])),
        asyncio.create_task(_carry(other[0], one[1])),
    }
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


@contextmanager
def _closing(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    finally:
        writer.close()


def main() -> None:
    """Be the relay that standard input describes."""
    told = json.loads(sys.stdin.readline())
    serve(Relay(told["ip"], told["port"], told["auth"], Path(told["log"])))


if __name__ == "__main__":
    main()
