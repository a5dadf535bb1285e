"""The health machine: every move of its table, and the way back."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.kernel.errors import IllegalMove
from controlplane.kernel.fsm import move
from markets.choices import FeedStatus
from markets.domain.health import HEALTH_TABLE, Health, HealthEvent

HEALTHY, DEGRADED, FAILING = FeedStatus.HEALTHY, FeedStatus.DEGRADED, FeedStatus.FAILING


def health(status: FeedStatus = FAILING, *, starting: bool = True) -> Health:
    return Health(2000, 10_000, status=status, is_starting=starting)


def test_table_holds_every_legal_move_and_no_other() -> None:
    moves = {
        (HEALTHY, HealthEvent.AGE): DEGRADED,
        (HEALTHY, HealthEvent.LOSE): FAILING,
        (DEGRADED, HealthEvent.LOSE): FAILING,
        (DEGRADED, HealthEvent.RECOVER): HEALTHY,
        (FAILING, HealthEvent.RETURN): DEGRADED,
        (FAILING, HealthEvent.RECOVER): HEALTHY,
    }
    for place in product(FeedStatus, HealthEvent):
        if place in moves:
            assert move(HEALTH_TABLE, *place) is moves[place]
        else:
            with pytest.raises(IllegalMove):
                move(HEALTH_TABLE, *place)


@pytest.mark.parametrize(
    ("age_ms", "expected"),
    [(0, HEALTHY), (2000, HEALTHY), (2001, DEGRADED), (10_000, DEGRADED), (10_001, FAILING)],
)
def test_status_follows_from_the_age_of_data(age_ms: int, expected: FeedStatus) -> None:
    feed = health()
    assert feed.look(100.0, main=100.0, any_source=100.0) is HEALTHY
    assert feed.look(100.0 + age_ms / 1000, main=100.0, any_source=100.0) is expected


def test_feed_that_was_never_heard_is_failing() -> None:
    assert health().look(5.0, main=None, any_source=None) is FAILING


def test_degraded_feed_is_trusted_again_only_after_sustained_fresh_data() -> None:
    feed = health(HEALTHY, starting=False)
    feed.look(0.0, main=0.0, any_source=0.0)
    assert feed.look(2.1, main=0.0, any_source=0.0) is DEGRADED
    seen = [feed.look(at, main=at, any_source=at) for at in (3.0, 4.0, 5.0, 6.9)]
    assert seen == [DEGRADED] * 4
    assert feed.look(7.0, main=7.0, any_source=7.0) is HEALTHY


def test_a_gap_starts_the_proof_anew() -> None:
    feed = health(DEGRADED, starting=False)
    feed.look(0.0, main=0.0, any_source=0.0)
    feed.look(2.5, main=0.0, any_source=0.0)
    assert feed.look(3.0, main=3.0, any_source=3.0) is DEGRADED
    assert feed.look(5.0, main=5.0, any_source=5.0) is DEGRADED
    assert feed.look(7.0, main=7.0, any_source=7.0) is HEALTHY


def test_http_keeps_a_feed_from_failing_and_never_makes_it_healthy() -> None:
    feed = health(HEALTHY, starting=False)
    statuses = {feed.look(float(at), main=0.0, any_source=float(at)) for at in range(3, 60)}
    assert statuses == {DEGRADED}


def test_failing_feed_heard_over_http_returns_when_that_is_steady() -> None:
    feed = health(FAILING, starting=False)
    seen = [feed.look(float(at), main=None, any_source=float(at)) for at in range(6)]
    assert seen == [FAILING] * 4 + [DEGRADED] * 2


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.booleans(), st.booleans()), max_size=60))
def test_healthy_always_means_fresh_and_failing_always_means_silent_or_returning(
    steps: list[tuple[float, bool, bool]],
) -> None:
    feed, now = health(), 0.0
    main: float | None = None
    heard: float | None = None
    for seconds, streams, answers in steps:
        now += seconds
        main = now if streams else main
        heard = now if streams or answers else heard
        status = feed.look(now, main=main, any_source=heard)
        if status is HEALTHY:
            assert main is not None
            assert (now - main) * 1000 <= 2000
        if heard is None or (now - heard) * 1000 > 10_000:
            assert status is FAILING
        assert feed.look(now, main=main, any_source=heard) is status
