"""Clients of the API with each degree of permission."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from controlplane.kernel.ids import uuid7


def user_with(*codenames: str) -> User:
    """Return a new user with exactly the named permissions."""
    user = User.objects.create_user(f"user-{uuid7()}")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def client_of(user: User) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(user)
    return client


@pytest.fixture
def api(db: None) -> APIClient:
    """A client that may do everything."""
    return client_of(User.objects.create_superuser(f"root-{uuid7()}"))


@pytest.fixture
def client_with(db: None) -> Callable[..., APIClient]:
    return lambda *codenames: client_of(user_with(*codenames))
