"""Who is at the other end of a websocket: a signed-in person, or a program with a token.

A token comes in the `Authorization` header, never in the address. A browser cannot set that
header for another site, so only sockets that rely on a cookie have their origin checked.
"""

from typing import Any

from channels.db import database_sync_to_async
from channels.middleware import BaseMiddleware
from django.contrib.auth import aget_user
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed

Person = User | AnonymousUser


class TokenOrSession(BaseMiddleware):
    """Sends sockets with a token to `inner` with its user, all others through `sessions`."""

    def __init__(self, inner: Any, *, sessions: Any) -> None:
        super().__init__(inner)
        self._sessions = sessions

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        token = _token(scope)
        if token is None:
            return await self._sessions(scope, receive, send)
        user = await database_sync_to_async(_token_user)(token)
        return await super().__call__({**scope, "user": user, "token": token}, receive, send)


async def current_user(scope: dict[str, Any]) -> Person:
    """Return who a socket belongs to now: nobody after sign-out, expiry or deactivation."""
    if "token" in scope:
        return await database_sync_to_async(_token_user)(scope["token"])
    request = HttpRequest()
    request.session = scope["session"].__class__(scope["session"].session_key)
    return await aget_user(request)


def _token(scope: dict[str, Any]) -> bytes | None:
    given = dict(scope["headers"]).get(b"authorization")
    return None if given is None else given.partition(b" ")[2].strip()


def _token_user(token: bytes) -> Person:
    try:
        user, _auth = TokenAuthentication().authenticate_credentials(token)
    except (AuthenticationFailed, UnicodeDecodeError):
        return AnonymousUser()
    return user
