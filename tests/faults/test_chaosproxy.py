"""J · The bad network does what it is told, and nothing else."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.faults.chaosproxy import ChaosProxy, chaos_proxy
from controlplane.faults.toxics import Toxic, ToxicKind, Way

SECONDS = 20.0


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        over = threading.Event()

        def answer(one: socket.socket) -> None:
            with one:
                one.settimeout(SECONDS)
                try:
                    while data := one.recv(65536):
                        one.sendall(data)
                except OSError:
                    return

        def accept() -> None:
            while not over.is_set():
                try:
                    one, _ = server.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=answer, args=(one,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join(5)


@pytest.fixture
def proxy(echo: int) -> Iterator[ChaosProxy]:
    with chaos_proxy(echo) as made:
        yield made


def dial(proxy: ChaosProxy) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", proxy.port), SECONDS)
    made.settimeout(SECONDS)
    return made


def said(one: socket.socket, size: int) -> bytes:
    """Return what comes until `size` bytes are there or the connection ends."""
    data = b""
    while len(data) < size and (piece := one.recv(size - len(data))):
        data += piece
    return data


def test_without_trouble_every_byte_passes_as_it_was(proxy: ChaosProxy) -> None:
    text = bytes(range(256)) * 1000
    with dial(proxy) as one:
        one.sendall(text)
        assert said(one, len(text)) == text
        one.shutdown(socket.SHUT_WR)
        assert one.recv(1) == b""
    assert proxy.passed == {Way.UP: len(text), Way.DOWN: len(text)}


@pytest.mark.parametrize(
    "toxic",
    [
        Toxic(ToxicKind.LATENCY, way=Way.UP, milliseconds=120, jitter=30),
        Toxic(ToxicKind.SLICER, way=Way.DOWN, size=1, milliseconds=10),
        Toxic(ToxicKind.BANDWIDTH, way=Way.UP, rate=100),
    ],
    ids=lambda toxic: str(toxic.kind),
)
def test_slow_networks_are_slow_and_lose_nothing(proxy: ChaosProxy, toxic: Toxic) -> None:
    proxy.add(toxic)
    with dial(proxy) as one:
        began = time.monotonic()
        one.sendall(b"twelve bytes")
        assert said(one, 12) == b"twelve bytes"
        assert time.monotonic() - began >= 0.1


def test_a_black_hole_swallows_and_its_end_cuts(proxy: ChaosProxy) -> None:
    proxy.add(Toxic(ToxicKind.TIMEOUT, way=Way.DOWN))
    with dial(proxy) as one:
        one.sendall(b"lost")
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.recv(1)
        proxy.clear()
        one.settimeout(SECONDS)
        one.sendall(b"heard")
        assert said(one, 5) == b"heard"  # what was swallowed stays so
        proxy.add(Toxic(ToxicKind.TIMEOUT, way=Way.UP, milliseconds=50))
        one.sendall(b"cut")
        with pytest.raises(ConnectionResetError):
            one.recv(1)


def test_a_limit_cuts_after_so_many_bytes(proxy: ChaosProxy) -> None:
    proxy.add(Toxic(ToxicKind.LIMIT_DATA, way=Way.UP, size=5))
    with dial(proxy) as one:
        one.sendall(b"0123456789")
        with pytest.raises(ConnectionResetError):
            said(one, 10)
    assert proxy.passed[Way.UP] == 5


def test_a_reset_comes_after_what_was_sent(proxy: ChaosProxy) -> None:
    proxy.add(Toxic(ToxicKind.RESET_PEER, way=Way.DOWN))
    with dial(proxy) as one:
        one.sendall(b"accepted")
        with pytest.raises(ConnectionResetError):
            one.recv(8)
    assert proxy.passed[Way.UP] == 8  # the server has it; only its answer is lost


def test_down_cuts_what_is_open_and_turns_new_ones_away(proxy: ChaosProxy) -> None:
    with dial(proxy) as one:
        one.sendall(b"a")
        assert said(one, 1) == b"a"
        proxy.add(Toxic(ToxicKind.DOWN))
        with pytest.raises(ConnectionResetError):
            one.recv(1)
        with pytest.raises(ConnectionResetError), dial(proxy) as other:
            other.recv(1)
        proxy.clear()
        with dial(proxy) as other:
            other.sendall(b"b")
            assert said(other, 1) == b"b"


def test_a_slow_close_tells_the_end_late(proxy: ChaosProxy) -> None:
    proxy.add(Toxic(ToxicKind.SLOW_CLOSE, way=Way.UP, milliseconds=150))
    with dial(proxy) as one:
        began = time.monotonic()
        one.shutdown(socket.SHUT_WR)
        assert one.recv(1) == b""
        assert time.monotonic() - began >= 0.15


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ToxicKind.LATENCY, {}),
        (ToxicKind.SLICER, {"size": 0}),
        (ToxicKind.DOWN, {"milliseconds": 5}),
        (ToxicKind.LATENCY, {"milliseconds": 5, "jitter": -1}),
        (ToxicKind.TIMEOUT, {"rate": 5}),
    ],
)
def test_trouble_that_makes_no_sense_is_refused(kind: ToxicKind, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(kind)):
        Toxic(kind, **fields)
