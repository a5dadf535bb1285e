"""Real proxy servers on loopback, each a process of its own that leaves by an address of its own.

proxy.py plays HTTP (plain or over TLS), pproxy plays SOCKS5. A `Door` before a venue notes which
address every connection comes from.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from accounts.models import ProxyProfile, ProxySession
from markets.venues.shared import tls_context

ROOT = Path(__file__).resolve().parent.parent
AUTH = "user:p@ss:word/%"
"""With characters that an address must escape."""
_ORDER = re.compile(rb"newClientOrderId=([^&\s]+)")

_PPROXY = """
import asyncio, sys, pproxy

async def main(listen, leave):
    server = pproxy.Server(listen)
    arguments = {"rserver": [pproxy.Connection(leave)], "authtime": 0, "verbose": lambda *_: None}
    serving = await server.start_server(arguments)
    print(serving.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass
class RunningProxy:
    """A proxy that listens on `ip` and leaves by `exit_ip`."""

    scheme: str
    ip: str
    port: int
    exit_ip: str
    process: "subprocess.Popen[str]"

    def kill(self) -> None:
        """Kill it and its children at once, as a crash would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def session(self, profile: ProxyProfile, *, auth: str = AUTH) -> ProxySession:
        row = ProxySession(proxy_profile=profile, ip=self.ip, port=self.port, auth=auth)
        row.full_clean()
        row.save()
        return row


@contextmanager
def http_proxy(
    ip: str, *, exit_ip: str | None = None, tls: bool = False, auth: str = AUTH
) -> Iterator[RunningProxy]:
    """Run proxy.py."""
    with TemporaryDirectory() as place:
        ports = Path(place) / "port"
        command = [
            *(sys.executable, "-m", "proxy", "--hostname", ip, "--port", "0"),
            *("--port-file", str(ports), "--num-acceptors", "1", "--num-workers", "1"),
            *("--basic-auth", auth, "--plugins", "tests.exit_plugin.Exit", "--log-level", "e"),
        ]
        if tls:
            certificate, key = write_certificate(Path(place), ip)
            command += ["--cert-file", str(certificate), "--key-file", str(key)]
        process = _start(command, EXIT_IP=exit_ip or ip)
        try:
            port = _wait_port(ports, process)
            yield RunningProxy("https" if tls else "http", ip, port, exit_ip or ip, process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


@contextmanager
def socks_proxy(ip: str, *, exit_ip: str | None = None, auth: str = AUTH) -> Iterator[RunningProxy]:
    """Run pproxy."""
    leave = exit_ip or ip
    listen = f"socks5://{ip}:0/#{auth}"
    process = _start([sys.executable, "-c", _PPROXY, listen, f"direct://x/@{leave}"])
    try:
        assert process.stdout is not None
        yield RunningProxy("socks5", ip, int(process.stdout.readline()), leave, process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _start(command: list[str], **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _wait_port(path: Path, process: "subprocess.Popen[str]") -> int:
    deadline = time.monotonic() + 15
    while not (path.exists() and path.read_text().strip()):
        assert process.poll() is None, "the proxy ended at its start"
        assert time.monotonic() < deadline, "the proxy did not start in time"
        time.sleep(0.02)
    return int(path.read_text())


@cache
def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return an authority of the tests' own, which this process's clients trust from now on."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=Tests")
    certificate = _certificate(name, name, key, key, x509.BasicConstraints(True, None))
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    tls_context().load_verify_locations(cadata=pem)
    return certificate, key


def write_certificate(place: Path, ip: str) -> tuple[Path, Path]:
    """Write a certificate for `ip` and its key; return their paths."""
    authority, signer = _authority()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.SubjectAlternativeName([x509.IPAddress(ip_address(ip))])
    subject = x509.Name.from_rfc4514_string(f"CN={ip}")
    made = _certificate(subject, authority.subject, key, signer, name)
    certificate, private = place / "cert.pem", place / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=True)
        .sign(signer, hashes.SHA256())
    )


@dataclass
class Door:
    """Hands connections on to a venue's port; notes where each, and each order, came from."""

    port: int = 0
    peers: list[str] = field(default_factory=list)
    orders: list[tuple[str, str]] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def open(self, port: int) -> asyncio.Server:
        """Serve on the running loop, before `port`."""

        async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = writer.get_extra_info("peername")[0]
            self.peers.append(peer)
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)

            def note(data: bytes) -> None:
                self.orders += [(found.decode(), peer) for found in _ORDER.findall(data)]

            self._keep(_carry(reader, inner_writer, note))
            self._keep(_carry(inner_reader, writer))

        server = await asyncio.start_server(enter, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _ignore(_data: bytes) -> None:
    """Note nothing."""


async def _carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    note: Callable[[bytes], None] = _ignore,
) -> None:
    try:
        while data := await reader.read(65536):
            note(data)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
