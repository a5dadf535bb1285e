"""Tokens: got with a password, throttled, ended, and never a way round the rest."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

PASSWORD = "a long enough password"
LOGIN = "/api/v1/auth/login/"


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_superuser("someone", password=PASSWORD)


def sign_in(password: str = PASSWORD):
    client = APIClient(raise_request_exception=False)
    body = {"username": "someone", "password": password}
    return client.post(LOGIN, body)


def with_token(token: str) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def test_token_opens_the_api_until_it_is_ended(user: User) -> None:
    answer = sign_in()
    assert answer.status_code == 200
    token = answer.json()["token"]
    assert token not in str(list(AuthToken.objects.values()))
    client = with_token(token)
    assert client.get("/api/v1/accounts/").status_code == 200
    assert client.post("/api/v1/auth/logout/").status_code == 204
    assert client.get("/api/v1/accounts/").status_code == 401
    assert client.post("/api/v1/auth/logout/").status_code == 401


def test_expired_token_and_disabled_user_are_refused(user: User) -> None:
    token = sign_in().json()["token"]
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert with_token(token).get("/api/v1/accounts/").status_code == 401
    token = sign_in().json()["token"]
    User.objects.update(is_active=False)
    assert with_token(token).get("/api/v1/accounts/").status_code == 401
    assert sign_in().status_code == 401


def test_wrong_password_and_unknown_user_get_the_same_answer(user: User) -> None:
    wrong = sign_in("wrong")
    unknown = APIClient().post(LOGIN, {"username": "nobody", "password": "wrong"})
    assert (wrong.status_code, wrong.json()) == (401, unknown.json())
    assert unknown.status_code == 401
    assert AuthToken.objects.count() == 0


def test_sign_in_is_throttled_by_user_and_address(user: User) -> None:
    for _attempt in range(10):
        last = sign_in("wrong")
    assert (last.status_code, last.json()["code"]) == (429, "throttled")
    assert sign_in().status_code == 429
    assert AuthToken.objects.count() == 0


@pytest.mark.parametrize(
    "body",
    [{}, {"username": "x"}, {"username": 5, "password": []}, {"username": "\x00", "password": "x"}],
)
def test_junk_credentials_name_the_field(body, user: User) -> None:
    answer = APIClient().post(LOGIN, body)
    assert answer.status_code == 400
    assert set(answer.json()["details"]) <= {"username", "password"}


def test_user_has_a_bounded_number_of_tokens(user: User) -> None:
    answers = [sign_in().status_code for _attempt in range(21)]
    assert answers == [200] * 20 + [403]


def test_session_needs_a_csrf_token_to_write(user: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.get("/api/v1/accounts/").status_code == 200
    answer = client.post("/api/v1/accounts/", {})
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_token_request_is_audited_under_its_user(user: User) -> None:
    client = with_token(sign_in().json()["token"])
    body = {
        "venueId": "paper",
        "name": "Paper",
        "dialect": "binance",
        "restEndpoint": "http://127.0.0.1:9",
        "wsEndpoint": "ws://127.0.0.1:9",
    }
    assert client.post("/api/v1/venues/", body, headers={"X-Reason": "new"}).status_code == 201
    (change,) = client.get("/api/v1/audit/", {"entity": "Venue", "objectId": "paper"}).json()[
        "results"
    ]
    assert (change["actor"], change["surface"], change["reason"]) == ("someone", "api", "new")
    assert (change["objectId"], change["operation"], change["action"]) == (
        "paper",
        "insert",
        "created",
    )
    assert change["changes"]["restEndpoint"] == [None, "http://127.0.0.1:9"]
