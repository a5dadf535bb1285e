"""Venues of the dialect generic: what is refused at the form, the API and by doctor."""

import io
import json
import subprocess
import sys
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from accounts import egress
from accounts.models import ExchangeAccount
from controlplane import doctor
from markets.models import Venue
from markets.venues.errors import MissingCredential
from markets.venues.generic.names import known_venues, required_credentials, venue_problem

pytestmark = pytest.mark.django_db

WALLET, KEY = "0x" + "ab" * 20, "0x" + "1f" * 32


def venue(**changes: Any) -> Venue:
    fields = {"venue_id": "by", "name": "By", "dialect": "generic", "ccxt_id": "bybit"}
    return Venue(**{**fields, **changes})


def account(on: Venue, **changes: Any) -> ExchangeAccount:
    fields = {"account_id": "a", "account_name": "A", "max_position_value": 1000}
    return ExchangeAccount(exchange=on, **{**fields, **changes})


def problems(row: Any) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    return {name: [str(error.code) for error in errors] for name, errors in _by_field(caught.value)}


def _by_field(error: ValidationError) -> Any:
    return error.error_dict.items()


def test_a_ccxt_venue_needs_no_addresses() -> None:
    row = venue()
    row.full_clean()
    row.save()
    assert row.endpoint().ccxt_id == "bybit"
    assert (row.endpoint().rest, row.endpoint().websocket) == ("", "")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bybti", "close to it: bybit"),
        ("", "Name the venue"),
        ("../etc", "ccxt knows no venue"),
        ("binanceusdm", "dialect binance"),
        ("bitstamp1", "ccxt knows no venue"),
        ("upbit", "no perpetual contracts"),
        ("hibachi", "accountId"),
    ],
)
def test_a_name_ccxt_cannot_trade_on_is_refused_with_a_reason(name: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        venue(ccxt_id=name).full_clean()
    assert said in str(caught.value.error_dict["ccxt_id"])


def test_addresses_are_ccxts_own_or_loopback() -> None:
    assert "rest_endpoint" in problems(venue(rest_endpoint="https://evil.example"))
    venue(rest_endpoint="http://127.0.0.1:9").full_clean()


def test_there_is_no_test_network() -> None:
    assert problems(venue(environment="testnet")) == {"environment": ["no_testnet"]}


def test_other_dialects_have_addresses_and_no_ccxt_name() -> None:
    own = {"dialect": "binance", "rest_endpoint": "", "ws_endpoint": "", "ccxt_id": ""}
    with pytest.raises(ValidationError, match="both endpoints"):
        venue(**own).full_clean()
    with pytest.raises(ValidationError, match="no other dialect"):
        venue(**{**own, "ccxt_id": "bybit"}).full_clean()


@pytest.mark.parametrize(
    ("name", "given", "refused"),
    [
        ("bybit", {"api_key": "k-1"}, {"api_secret": ["missing_credential"]}),
        ("okx", {"api_key": "k-1", "api_secret": "s"}, {"passphrase": ["missing_credential"]}),
        (
            "hyperliquid",
            {"public_key": "0xshort", "agent_key": KEY},
            {"public_key": ["bad_credential"]},
        ),
        ("hyperliquid", {"public_key": WALLET}, {"agent_key": ["missing_credential"]}),
        (
            "bybit",
            {"api_key": "with space", "api_secret": "s"},
            {"api_key": ["bad_credential"]},
        ),
    ],
)
def test_missing_and_malformed_keys_are_refused_at_the_form(
    name: str, given: dict[str, str], refused: dict[str, list[str]]
) -> None:
    row = venue(ccxt_id=name)
    row.save()
    assert problems(account(row, **given)) == refused


def test_one_wallet_is_one_account() -> None:
    row = venue(ccxt_id="hyperliquid")
    row.save()
    account(row, public_key=WALLET, agent_key=KEY).save()
    twin = account(row, account_id="b", public_key=WALLET, agent_key="0x" + "2e" * 32)
    assert problems(twin) == {"public_key": ["account_known"]}


def test_an_account_whose_keys_are_gone_is_told_by_egress_and_doctor() -> None:
    row = venue()
    row.save()
    kept = account(row, api_key="k-1", api_secret="s-1")
    kept.save()
    ExchangeAccount.objects.update(api_secret="")
    kept.refresh_from_db()
    with pytest.raises(MissingCredential, match="a has no api_secret"):
        egress.route_of(kept)
    (finding,) = doctor.account_keys(Venue.objects.all())
    assert (finding.verdict, finding.message) == (doctor.Verdict.FAIL, "a has no api_secret.")


def test_doctor_tells_what_a_venue_can_and_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    row = venue()
    row.save()
    monkeypatch.setattr(doctor, "queue", lambda: iter(()))
    out = io.StringIO()
    call_command("doctor", venue="by", offline=True, json=True, stdout=out)
    findings = {item["name"]: item["message"] for item in json.loads(out.getvalue())["findings"]}
    assert "order_by_client_id" in findings["venue by can"]
    assert findings["venue by cannot"] == (
        "transfer_history, position_mode, top_of_book_stream, private_stream, dead_man_timer,"
        " dead_man_timer_per_symbol"
    )


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("binance", "nothing"),
        ("aster", "nothing"),
        ("pacifica", "dead_man_timer, dead_man_timer_per_symbol"),
    ],
)
def test_doctor_tells_the_limits_of_our_own_adapters(name: str, lacks: str) -> None:
    _, cannot = doctor.venue_limits(Venue.objects.filter(pk=name))
    assert (cannot.name, cannot.message) == (f"venue {name} cannot", lacks)


def test_doctor_says_that_a_row_names_no_venue() -> None:
    Venue.objects.bulk_create([venue(ccxt_id="bygone")])
    (finding,) = doctor.venue_limits(Venue.objects.filter(pk="by"))
    assert finding.verdict is doctor.Verdict.FAIL
    assert "ccxt knows no venue 'bygone'" in finding.message


def test_checking_names_and_keys_does_not_import_ccxt() -> None:
    code = (
        "import sys\n"
        "from markets.venues.generic.names import required_credentials as needed\n"
        "assert needed('okx') == ('api_key', 'api_secret', 'passphrase')\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'ccxt']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_venues_are_known() -> None:
    usable = [name for name in known_venues() if venue_problem(name) is None]
    assert len(usable) > 40
    assert set(required_credentials("hyperliquid")) == {"public_key", "agent_key"}
