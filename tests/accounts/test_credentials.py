"""Keys that are missing, or can be no keys of their venue: said at once, and never repeated."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from nacl.signing import SigningKey
from rest_framework.test import APIClient

from accounts import egress
from accounts.models import ExchangeAccount
from controlplane import doctor
from markets.models import Venue
from markets.venues import base58
from markets.venues.errors import MissingCredential
from tests import factories
from tests.admin.forms import errors_of, form_data
from tests.admin.test_pages import address

pytestmark = pytest.mark.django_db

SEED = bytes(range(32))
PUBLIC = bytes(SigningKey(SEED).verify_key)
GOOD: dict[str, dict[str, str]] = {
    "binance": {"api_key": "a" * 64, "api_secret": "b" * 64},
    "aster": {"public_key": "0x" + "ab" * 20, "agent_key": "0x" + "1f" * 32},
    "pacifica": {"public_key": base58.encode(PUBLIC), "agent_key": base58.encode(SEED + PUBLIC)},
}
BAD = [
    ("binance", {"api_secret": "two words"}, "api_secret", "characters that no key has"),
    ("binance", {"api_secret": "-----BEGIN KEY-----\nMII"}, "api_secret", "that no key has"),
    ("aster", {"public_key": "0x12"}, "public_key", "40 hexadecimal digits"),
    ("aster", {"public_key": GOOD["pacifica"]["public_key"]}, "public_key", "hexadecimal"),
    ("aster", {"agent_key": "0x" + "zz" * 32}, "agent_key", "32 bytes in hexadecimal"),
    ("aster", {"agent_key": "f" * 64}, "agent_key", "no secp256k1 key"),
    ("pacifica", {"public_key": "0x" + "ab" * 20}, "public_key", "32 bytes in base58"),
    ("pacifica", {"agent_key": "0OIl"}, "agent_key", "64 bytes in base58"),
    ("pacifica", {"agent_key": base58.encode(SEED)}, "agent_key", "64 bytes in base58"),
    ("pacifica", {"agent_key": base58.encode(bytes(64))}, "agent_key", "its own public key"),
]
NEEDED = [(dialect, name) for dialect, keys in GOOD.items() for name in keys]


def account(dialect: str, keys: dict[str, str]) -> ExchangeAccount:
    venue = factories.venue(dialect=dialect)
    return ExchangeAccount(
        account_id="new", exchange=venue, account_name="New", max_position_value=1000, **keys
    )


def refused(made: ExchangeAccount) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as error:
        made.full_clean()
    return error.value.message_dict


@pytest.mark.parametrize("dialect", GOOD)
def test_sound_keys_are_taken(dialect: str) -> None:
    account(dialect, GOOD[dialect]).full_clean()


@pytest.mark.parametrize(("dialect", "keys", "field", "told"), BAD)
def test_what_can_be_no_key_of_the_venue_is_refused_and_not_repeated(
    dialect: str, keys: dict[str, str], field: str, told: str
) -> None:
    errors = refused(account(dialect, GOOD[dialect] | keys))
    assert list(errors) == [field]
    assert told in errors[field][0]
    assert keys[field] not in str(errors)


@pytest.mark.parametrize(("dialect", "name"), NEEDED)
def test_a_missing_key_is_named(dialect: str, name: str) -> None:
    keys = {key: text for key, text in GOOD[dialect].items() if key != name}
    errors = refused(account(dialect, keys))
    assert list(errors) == [name]
    assert "cannot be used without it" in errors[name][0]


def said_by_form_and_api(venue: Venue, keys: dict[str, str]) -> tuple[Any, Any]:
    user = User.objects.create_superuser("root")
    page, api = Client(), APIClient()
    page.force_login(user)
    api.force_authenticate(user)
    url = address(ExchangeAccount, "add")
    fields = {"account_id": "new", "exchange": venue.pk, "account_name": "New"}
    form = page.post(url, form_data(page, url) | fields | {"max_position_value": "1"} | keys)
    wire = {
        "public_key": "publicKey",
        "agent_key": "agentKey",
        "api_key": "apiKey",
        "api_secret": "apiSecret",
    }
    body = {"accountId": "new", "exchange": venue.pk, "accountName": "New", "maxPositionValue": "1"}
    answer = api.post("/api/v1/accounts/", body | {wire[key]: text for key, text in keys.items()})
    for text in keys.values():
        assert text.encode() not in form.content + answer.content
    return errors_of(form), answer


def test_form_and_api_say_what_is_wrong_with_each_key_and_keep_nothing() -> None:
    venue = factories.venue(dialect="pacifica")
    keys = {"public_key": "0x" + "ab" * 20, "agent_key": "0OIl" * 20}
    form, answer = said_by_form_and_api(venue, keys)
    assert set(form) == {"public_key", "agent_key"}
    assert answer.status_code == 400
    details = answer.json()["details"]
    assert {name: problems[0]["code"] for name, problems in details.items()} == {
        "publicKey": "bad_credential",
        "agentKey": "bad_credential",
    }
    assert not ExchangeAccount.objects.exists()


@pytest.mark.parametrize("name", ["nowhere", "binance ", "x" * 200, "no\x00where"])
def test_an_unknown_venue_is_named_at_its_field_by_form_and_api(name: str) -> None:
    form, answer = said_by_form_and_api(Venue(pk=name), {"api_key": "k-1", "api_secret": "s-1"})
    assert list(form) == ["exchange"]
    assert (answer.status_code, list(answer.json()["details"])) == (400, ["exchange"])
    assert answer.json()["details"]["exchange"][0]["code"] == "does_not_exist"
    assert not ExchangeAccount.objects.exists()


def test_doctor_names_accounts_whose_keys_cannot_be_used_without_the_keys() -> None:
    key = "0x" + "zz" * 32
    venue = factories.venue(dialect="aster")
    made = factories.account(exchange=venue, **GOOD["aster"] | {"agent_key": key})
    with pytest.raises(MissingCredential, match="32 bytes in hexadecimal"):
        egress.check_credentials(made)
    [finding] = [
        item
        for item in doctor.account_keys(Venue.objects.filter(pk=venue.pk))
        if item.verdict is not doctor.Verdict.OK
    ]
    assert made.pk in f"{finding.name} {finding.message}"
    assert "agent_key" in finding.message
    assert key not in f"{finding}"
