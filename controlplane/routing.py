"""Websocket routes, behind the session and the origin check, or behind a token."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from controlplane.base.sockets import TokenOrSession
from markets.sockets import QuotesConsumer
from monitoring.consumers import ConsoleConsumer


def websocket_application() -> TokenOrSession:
    """Return the application for all paths under `/ws/`."""
    quotes = path("ws/quotes/", QuotesConsumer.as_asgi())
    console = path("ws/console/", ConsoleConsumer.as_asgi())
    people = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([console, quotes])))
    return TokenOrSession(URLRouter([quotes]), sessions=people)
