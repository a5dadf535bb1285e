"""Websocket routes, behind the session and the origin check."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from monitoring.consumers import ConsoleConsumer


def websocket_application() -> AllowedHostsOriginValidator:
    """Return the application for all paths under `/ws/`."""
    return AllowedHostsOriginValidator(
        AuthMiddlewareStack(URLRouter([path("ws/console/", ConsoleConsumer.as_asgi())]))
    )
