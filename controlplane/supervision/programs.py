"""The product's own programs, as `manage.py up` runs them."""

import errno
import gc
import importlib
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.urls import get_resolver

from controlplane.base.sessions import statements_limit
from controlplane.supervision import clusters
from controlplane.supervision.supervisor import Program, Supervisor

CLUSTER_PREFIX: Final = "q-"
MAX_SOCKET_MESSAGE: Final = 64 * 1024
"""No websocket of ours reads more at once, so nothing larger is ever gathered in memory."""
PORT_ATTEMPTS: Final = 100
# The system soon chooses a port again that nobody listens on yet.
_chosen: set[int] = set()
# What more than one program needs; imported once, before the fork, and shared.
SHARED_MODULES: Final = (
    "controlplane.asgi",
    "django.core.management.commands.migrate",
    "markets.venues.aster.client",
    "markets.venues.binance.client",
    "markets.venues.pacifica.client",
    "aiohttp",
    "msgspec",
    "uvloop",
    "websockets",
)


def table(*, host: str, port: int) -> Sequence[Program]:
    """Return sentinel, feeds, web and the worker clusters: after a crash, what recovers first."""
    return (
        Program("sentinel", partial(command, "run_sentinel")),
        Program("feeds", partial(command, "run_feeds")),
        Program("web", partial(serve, host=host, port=port)),
        *(Program(CLUSTER_PREFIX + name, partial(clusters.run, name)) for name in clusters.names()),
    )


def command(name: str, *arguments: str) -> None:
    """Be a management command; what it refuses is said in one line."""
    try:
        call_command(name, *arguments)
    except CommandError as refusal:
        sys.stderr.write(f"{refusal}\n")
        raise SystemExit(refusal.returncode) from None


def run(
    *,
    host: str,
    port: int,
    announce: Callable[[Supervisor], None],
    more: Sequence[Program] = (),
) -> int:
    """Run the product, and `more`, until told to stop; return the exit code.

    `announce` is called once, when the web program answers. Log lines go to stderr.
    """
    load_shared()

    def restart(cluster: str, silence: timedelta) -> None:
        supervisor.restart(
            CLUSTER_PREFIX + cluster, f"no sign of life for {silence.total_seconds():.0f} s"
        )

    watch = clusters.Watch(restart)
    pending = [announce]

    def each_turn(supervisor: Supervisor) -> None:
        if pending and _is_served(host, port):
            pending.pop()(supervisor)
        watch.turn()

    supervisor = Supervisor((*more, *table(host=host, port=port)), say=_say, each_turn=each_turn)
    return supervisor.run()


def address(host: str, port: int) -> str:
    """Return the address a browser opens."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _say(program: str, line: str) -> None:
    sys.stderr.write(f"{program:<10} {line}\n")


def _is_served(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=0.2):
        return True
    return False


def serve(*, host: str, port: int) -> None:
    """Serve HTTP and websockets until SIGTERM."""
    from daphne.endpoints import build_endpoint_description_strings  # web alone needs Twisted
    from daphne.server import Server

    from controlplane.asgi import application

    statements_limit(settings.WEB_STATEMENT_SECONDS)
    Server(
        application=application,
        endpoints=build_endpoint_description_strings(host=host, port=port),
        http_timeout=60,
        application_close_timeout=2,
        websocket_max_message_size=MAX_SOCKET_MESSAGE,
        websocket_max_frame_size=MAX_SOCKET_MESSAGE,
    ).run()


def free_port(host: str, port: int) -> int:
    """Return `port`, or for 0 one that the system chooses and that was never chosen before.

    Raises OSError when it is taken, or when the system has none left.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _attempt in range(PORT_ATTEMPTS):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            number: int = probe.getsockname()[1]
        if port or number not in _chosen:
            _chosen.add(number)
            return number
    raise OSError(errno.EADDRINUSE, f"no port of {host} is left")


def load_shared() -> None:
    """Import what the programs share and leave nothing open that a fork must not inherit."""
    for name in SHARED_MODULES:
        importlib.import_module(name)
    with suppress(AttributeError):
        get_resolver().url_patterns  # noqa: B018 - loads every view and form
    connections.close_all()
    gc.freeze()
