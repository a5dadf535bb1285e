"""The database itself holds the rules of the data model."""

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from accounts.models import ExchangeAccount, ProxyProfile, RiskEnvelope
from controlplane.base import trail
from controlplane.kernel.secrets import Secret
from markets.models import Venue
from monitoring.models import AlertRoute
from strategies.models import OrderIntent
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("number", ["NaN", "-1", "0"])
def test_database_refuses_a_threshold_that_is_not_positive(number: str) -> None:
    account = factories.account()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_exchangeaccount SET delta_threshold = %s WHERE account_id = %s",
            [number, account.pk],
        )
    account.refresh_from_db()
    assert account.delta_threshold == Decimal("0.0005")


def test_new_account_has_one_envelope_and_an_unknown_state() -> None:
    account = factories.account()
    assert RiskEnvelope.objects.filter(account=account).count() == 1
    assert account.state.equity is None
    with pytest.raises(IntegrityError), transaction.atomic():
        RiskEnvelope.objects.create(account=account)


def test_secrets_are_encrypted_at_rest_and_masked_in_python() -> None:
    account = factories.account(api_secret="a-very-secret-value")
    with connection.cursor() as cursor:
        cursor.execute("SELECT api_secret::text FROM accounts_exchangeaccount")
        stored = cursor.fetchone()[0]
    assert "a-very-secret-value" not in bytes.fromhex(stored[2:]).decode("latin-1")
    loaded = ExchangeAccount.objects.get(pk=account.pk)
    assert loaded.api_secret == Secret("a-very-secret-value")
    assert "a-very-secret-value" not in f"{loaded.api_secret} {loaded.__dict__}"


def test_intent_moves_only_along_its_table() -> None:
    intent = factories.intent()
    with pytest.raises(IntegrityError), transaction.atomic():
        OrderIntent.objects.filter(pk=intent.pk).update(state="filled", submission="acknowledged")
    with pytest.raises(IntegrityError), transaction.atomic():
        OrderIntent.objects.filter(pk=intent.pk).update(amount=Decimal(5))
    intent.refresh_from_db()
    assert (intent.state, intent.submission, intent.amount) == ("pending", "none", Decimal("0.01"))


def test_weights_of_one_account_never_exceed_one() -> None:
    account = factories.account()
    factories.allocation(account=account, weight=Decimal("0.6"))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.allocation(account=account, weight=Decimal("0.5"))
    assert account.allocations.count() == 1


def test_a_changed_alert_target_shows_in_the_audit_and_the_target_does_not() -> None:
    route = AlertRoute.objects.create(
        route_id="pager", name="Pager", target="json://first-target-of-the-pager/"
    )
    route.target = "json://second-target-of-the-pager/"  # type: ignore[assignment]
    route.save()
    rows = [str(row.pgh_data) for row in trail.AuditEvent.objects.tracks(route)]
    assert len(rows) == len(set(rows)) == 2
    assert not any("target-of-the-pager" in row for row in rows)


def test_a_venue_allowed_to_a_proxy_profile_leaves_a_trace() -> None:
    profile = ProxyProfile.objects.create(profile_id="pool", name="Pool")
    binance = Venue.objects.get(pk="binance")
    profile.venues.add(binance)
    profile.venues.remove(binance)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pgh_label, venue_id FROM accounts_allowedvenueevent ORDER BY pgh_id")
        assert cursor.fetchall() == [("insert", "binance"), ("delete", "binance")]


def test_one_account_of_a_venue_is_one_row() -> None:
    first = factories.account(api_key="one-and-the-same-api-key")
    twin = ExchangeAccount(
        account_id="twin",
        exchange=first.exchange,
        account_name="Twin",
        api_key=Secret("one-and-the-same-api-key"),
        api_secret=Secret("another-api-secret"),
        max_position_value=Decimal(1),
    )
    with pytest.raises(ValidationError) as refusal:
        twin.full_clean()
    assert refusal.value.error_dict["api_key"][0].code == "account_known"
    twin.exchange = factories.venue()
    twin.full_clean()
    first.full_clean()
