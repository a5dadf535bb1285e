"""The demo's proxy: a password, loopback alone, and every tunnel written down before its use."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from controlplane.demo.relay import Tunnel, tunnels
from controlplane.supervision.programs import free_port
from tests.proxies import ROOT

IP, AUTH = "127.0.0.2", "demo:p@ss/word"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relay")


@pytest.fixture(scope="module")
def port(place: Path) -> Iterator[int]:
    """A relay in a process of its own."""
    number = free_port(IP, 0)
    told = {"ip": IP, "port": number, "auth": AUTH, "log": str(place / "log")}
    command = [sys.executable, "-m", "controlplane.demo.relay"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.close()
        try:
            wait_until_open(number)
            yield number
        finally:
            process.kill()


def wait_until_open(port: int) -> None:
    until = time.monotonic() + 15
    while True:
        try:
            socket.create_connection((IP, port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.02)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(writer.get_extra_info("peername")[0].encode() + b" ")
    writer.write(await reader.read(100))
    writer.close()


def proxy(port: int, auth: str) -> Proxy:
    user, _, password = auth.partition(":")
    return Proxy.create(ProxyType.SOCKS5, IP, port, user, password)


async def test_tunnel_leaves_by_the_relays_address_and_is_on_record(port: int, place: Path) -> None:
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()[1]
        raw = await proxy(port, AUTH).connect("127.0.0.1", target, timeout=5)
        reader, writer = await asyncio.open_connection(sock=raw)
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.read(), 5) == f"{IP} hello".encode()
        writer.close()
    last = list(tunnels(place / "log"))[-1]
    assert last.to == f"127.0.0.1:{target}"
    assert last.out.startswith(f"{IP}:")


@pytest.mark.parametrize(
    ("auth", "host", "says"),
    [
        ("demo:wrong", "127.0.0.1", "authentication failure"),
        (AUTH, "192.0.2.1", "not allowed"),
        (AUTH, "localhost", "not allowed"),
        (AUTH, "127.0.0.1", "refused"),
    ],
)
async def test_stranger_and_far_away_are_refused_and_not_on_record(
    port: int, place: Path, auth: str, host: str, says: str
) -> None:
    before = list(tunnels(place / "log"))
    with pytest.raises(ProxyError, match=f"(?i){says}"):
        await proxy(port, auth).connect(host, 9, timeout=5)
    assert list(tunnels(place / "log")) == before


async def test_client_without_a_password_is_turned_away(port: int) -> None:
    reader, writer = await asyncio.open_connection(IP, port)
    writer.write(bytes((5, 1, 0)))
    assert await asyncio.wait_for(reader.read(), 5) == bytes((5, 0xFF))
    writer.close()


def test_log_of_a_relay_that_never_ran_is_empty(tmp_path: Path) -> None:
    assert list(tunnels(tmp_path / "none")) == []
    (tmp_path / "log").write_text('{"out": "127.0.0.2:1", "to": "127.0.0.1:2"}\n')
    assert list(tunnels(tmp_path / "log")) == [Tunnel("127.0.0.2:1", "127.0.0.1:2")]
