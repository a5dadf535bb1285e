"""Stop rules: what is measured, and when it counts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError

from accounts.choices import AccountStatus
from hedging.domain.rules import Doubts, RuleAction, is_armed, margin_ratio, silence
from hedging.models import StopRule

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
D = Decimal
KEY = ("margin", "alpha")


def test_only_newer_readings_in_a_row_count() -> None:
    doubts = Doubts()
    assert [doubts.note(KEY, at=AT), doubts.note(KEY, at=AT)] == [1, 1]
    doubts.round_over()
    assert doubts.note(KEY, at=AT + SECOND) == 2
    doubts.round_over()
    doubts.round_over()  # a look in which it was not beyond
    assert doubts.note(KEY, at=AT + 2 * SECOND) == 1
    doubts.forget(KEY)
    assert doubts.note(KEY, at=AT + 3 * SECOND) == 1


@pytest.mark.parametrize(
    ("maintenance", "equity", "ratio"),
    [("80", "100", "0.8"), ("0", "0", "0"), ("1", "0", "1"), ("1", "-5", "1"), ("0", "-5", "0")],
)
def test_a_margin_ratio_without_equity_is_one(maintenance: str, equity: str, ratio: str) -> None:
    assert margin_ratio(maintenance=D(maintenance), equity=D(equity)) == D(ratio)


@pytest.mark.parametrize(
    ("heard", "since", "due", "seconds"),
    [
        ((60, 40), 90, 0, "40"),  # the newest word counts
        ((None, None), 90, 0, "90"),
        ((60,), 10, 0, "10"),  # nobody listened before
        ((31,), 90, 32, "0"),  # nothing more was due
    ],
)
def test_silence_is_counted_from_the_last_word_since_somebody_listens(
    heard: tuple[int | None, ...], since: int, due: int, seconds: str
) -> None:
    moments = [None if ago is None else AT - ago * SECOND for ago in heard]
    found = silence(heard=moments, since=AT - since * SECOND, due=due * SECOND, now=AT)
    assert found == D(seconds)


def test_a_rule_acts_on_nothing_it_holds_already() -> None:
    armed = {
        (action, status): is_armed(action, status)
        for action in RuleAction
        for status in AccountStatus
    }
    assert {place for place, can in armed.items() if can} == {
        ("pause", "active"),
        ("stop", "active"), ("stop", "paused"),
        ("flatten", "active"), ("flatten", "paused"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("trigger", "threshold"), [("margin", "0"), ("margin", "1"), ("stale-data", "4")]
)
def test_a_threshold_that_makes_no_sense_is_refused(db: None, trigger: str, threshold: str) -> None:
    rule = StopRule(stop_rule_id="mine", trigger=trigger, threshold=D(threshold))
    with pytest.raises(ValidationError) as refused:
        rule.full_clean()
    assert "threshold" in str(refused.value) or "must be" in str(refused.value)


def test_every_trigger_is_watched_from_the_start(db: None) -> None:
    begin = import_module("hedging.migrations.0008_stop_rules_to_begin_with")
    begin.add_rules(apps, None)  # other tests may have emptied the table
    rows = StopRule.objects.values_list("trigger", "threshold", "scope", "action", "is_enabled")
    assert set(rows) == {
        ("margin", D("0.8"), "book", "flatten", True),
        ("rejects", D(20), "account", "pause", True),
        ("mismatch", D(1000), "account", "pause", True),
        ("stale-data", D(30), "account", "pause", True),
    }
