"""The split of streams among those who hold them."""

from hypothesis import given
from hypothesis import strategies as st

from markets.domain.leasing import Allotment, Claim, allot


def claims(**holders: str) -> list[Claim]:
    """Claims of streams by holder; a trailing `!` says that the holder's time is up."""
    return [
        Claim(key, holder.rstrip("!"), is_live=not holder.endswith("!"))
        for key, holder in holders.items()
    ]


def test_first_holder_takes_all() -> None:
    assert allot(claims(a="", b=""), holder="one", holders=1) == Allotment((), ("a", "b"), ())


def test_second_holder_gets_its_share_only_once_the_first_gave_it_away() -> None:
    record = claims(a="one", b="one", c="one")
    assert allot(record, holder="two", holders=2) == Allotment((), (), ())
    assert allot(record, holder="one", holders=2) == Allotment(("a", "b"), (), ("c",))


def test_streams_of_a_dead_holder_are_free_and_those_of_a_live_one_are_not() -> None:
    record = claims(a="dead!", b="two", c="dead!")
    assert allot(record, holder="two", holders=1) == Allotment(("b",), ("a", "c"), ())


def test_late_holder_whose_streams_nobody_took_goes_on() -> None:
    assert allot(claims(a="one!"), holder="one", holders=1) == Allotment(("a",), (), ())


@given(st.integers(0, 40), st.integers(1, 5))
def test_rounds_of_giving_and_taking_end_evenly_and_lose_nothing(count: int, holders: int) -> None:
    owner = {f"s{number:02}": "h0" for number in range(count)}
    for _round in range(3):
        for name in (f"h{number}" for number in range(holders)):
            record = [Claim(key, held_by, bool(held_by)) for key, held_by in owner.items()]
            due = allot(record, holder=name, holders=holders)
            owner |= dict.fromkeys(due.take, name) | dict.fromkeys(due.give, "")
    sizes = [list(owner.values()).count(f"h{number}") for number in range(holders)]
    assert sum(sizes) == count
    assert max(sizes) <= -(-count // holders)
