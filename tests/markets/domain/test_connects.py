"""How many sockets may be opened to one venue from one address, and when."""

import random

import pytest

from markets.domain.connects import FULL_SECONDS, ConnectBudget


def budget(at_once: int | None = None) -> ConnectBudget:
    """Binance's limit: ours are 240 of its 300, 180 of them for quotes."""
    return ConnectBudget(connects=300, seconds=300, at_once=at_once)


def test_quotes_leave_a_quarter_of_the_budget_to_private_streams() -> None:
    places = budget()
    taken = [places.take(now=10.0) for _ in range(181)]
    assert taken == [0.0] * 180 + [300.0]
    private = [places.take(now=11.0, is_private=True) for _ in range(61)]
    assert private == [0.0] * 60 + [299.0]


def test_place_is_free_again_when_the_window_has_passed() -> None:
    places = budget()
    for second in range(180):
        assert places.take(now=float(second)) == 0.0
    assert places.take(now=200.0) == 100.0
    assert places.take(now=300.0) == 0.0
    assert places.take(now=300.5) == 0.5


def test_open_sockets_are_counted_until_they_are_released() -> None:
    places = budget(at_once=2)
    assert [places.take(now=0.0) for _ in range(3)] == [0.0, 0.0, FULL_SECONDS]
    places.release()
    assert places.take(now=1.0) == 0.0
    assert not places.is_idle(now=1.0)
    places.release()
    places.release()
    assert not places.is_idle(now=300.9)
    assert places.is_idle(now=301.0)


@pytest.mark.parametrize("seed", range(5))
def test_storm_of_200_streams_never_passes_the_venues_limit(seed: int) -> None:
    """B09: everything is dropped at once, and again at each attempt, for five minutes."""
    chance, places, now, made = random.Random(seed), budget(), 0.0, []
    due = [(0.0, 1.0, number % 4 == 0) for number in range(200)]
    while now < 600:
        due.sort()
        now, delay, is_private = due.pop(0)
        wait = places.take(now=now, is_private=is_private)
        if wait:
            due.append((now + wait, delay, is_private))
            continue
        made.append(now)
        places.release()
        due.append((now + delay * chance.uniform(0.5, 1.0), min(60.0, delay * 2), is_private))
    busiest = max(sum(at <= other < at + 300 for other in made) for at in made)
    assert busiest == 240
