"""When an order of unknown fate is looked for: at once, when it can be proven, ever seldomer."""

from datetime import UTC, datetime, timedelta

from hedging.domain.resolution import SETTLE, Answer, Look, next_look_at, provable_from

SIGNED = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRY = SIGNED + timedelta(seconds=10)
NOT_FOUND = Answer.NOT_FOUND


def look(seconds: float, by_id: Answer = NOT_FOUND, trades: Answer = Answer.NOT_ASKED) -> Look:
    asked = NOT_FOUND if trades is not Answer.NOT_ASKED else Answer.NOT_ASKED
    at = SIGNED + timedelta(seconds=seconds)
    return Look(at, by_id, listed=asked, trades=trades, position=asked)


def pause(last: Look, looks: int) -> float:
    return (next_look_at(EXPIRY, last, looks=looks) - last.at).total_seconds()


def test_looks_that_can_prove_nothing_yet_grow_apart_and_one_is_when_they_can() -> None:
    at, seen = 0.0, []
    while SIGNED + timedelta(seconds=at) < provable_from(EXPIRY):
        seen.append(at)
        at += pause(look(at), len(seen))
    assert [*seen, at] == [0, 1, 3, 6, 10, 15, 21, (EXPIRY + SETTLE - SIGNED).total_seconds()]


def test_a_venue_that_does_not_answer_is_asked_each_second() -> None:
    assert pause(look(600, Answer.UNANSWERED), 400) == 1


def test_the_second_look_that_may_prove_absence_follows_in_five_seconds() -> None:
    assert pause(look(22, trades=NOT_FOUND), 9) == 5
    assert pause(look(600, trades=Answer.UNANSWERED), 90) == 5


def test_what_trades_leave_unclear_is_looked_for_ever_seldomer() -> None:
    """Each look reads all since the order: at one a second they used up what others need."""
    unclear = Answer.UNCLEAR
    assert [pause(look(s, trades=unclear), 9) for s in (22, 70, 610)] == [3, 15, 150]
    assert pause(look(86_400, trades=unclear), 99) == 300
