"""Signing in for a token, and out."""

from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from knox.auth import TokenAuthentication
from knox.models import get_token_model
from knox.settings import knox_settings
from rest_framework import serializers, status
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.base.api.fields import TextField


class CredentialsSerializer(serializers.Serializer):
    """A user name and a password."""

    username = TextField(max_length=150)
    password = TextField(max_length=1024, trim_whitespace=False, write_only=True)


class TokenSerializer(serializers.Serializer):
    """A token: send it as `Authorization: Token …`. It is shown once."""

    token = serializers.CharField()
    expiry = serializers.DateTimeField()


class LoginView(APIView):
    """Exchange a user name and a password for a token that expires."""

    authentication_classes: tuple[Any, ...] = ()
    permission_classes = (AllowAny,)

    @extend_schema(request=CredentialsSerializer, responses=TokenSerializer, operation_id="login")
    def post(self, request: Request) -> Response:
        given = CredentialsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        # axes counts failures of this user and address, and locks them out (see settings).
        user = authenticate(request=request._request, **given.validated_data)
        if user is None:
            raise AuthenticationFailed(_("The user name or the password is wrong."))
        live = get_token_model().objects.filter(user=user, expiry__gt=timezone.now())
        if live.count() >= knox_settings.TOKEN_LIMIT_PER_USER:
            raise PermissionDenied(_("This user has too many tokens; sign one out."))
        made, token = get_token_model().objects.create(user=user, expiry=knox_settings.TOKEN_TTL)
        user_logged_in.send(sender=type(user), request=request._request, user=user)
        return Response(TokenSerializer({"token": token, "expiry": made.expiry}).data)

    def get_authenticate_header(self, request: Request) -> str:
        return "Token"


class LogoutView(APIView):
    """End the token that the request carries."""

    authentication_classes = (TokenAuthentication,)
    permission_classes = (IsAuthenticated,)

    @extend_schema(
        request=None, responses={204: OpenApiResponse(description="Done.")}, operation_id="logout"
    )
    def post(self, request: Request) -> Response:
        request.auth.delete()
        user_logged_out.send(sender=type(request.user), request=request._request, user=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)
