"""One limit as it fills: laws over any history, and what a venue's own count changes."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from markets.venues.ratelimit.terms import SECOND_NS, SHARES, Kind, Limit, Scope
from markets.venues.ratelimit.window import Window

LIMIT = Limit(Scope.EXIT, 100, 60)
MINUTE = 60 * SECOND_NS
MS = SECOND_NS // 1000

Step = tuple[int, int, Kind]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.integers(0, 20_000),  # ms since the step before
        st.integers(1, 40),
        st.sampled_from(list(Kind)),
    ),
    max_size=60,
)


def window(*, processes: int = 1, is_told: bool = True) -> Window:
    return Window(LIMIT, processes=processes, is_told=is_told)


def sent_by(made: Window, steps: Sequence[Step], *, is_answered: bool) -> list[Step]:
    """Return what left, and when, of what was tried."""
    now, sent = 0, []
    for pause, amount, kind in steps:
        now += pause * MS
        if made.wait_ns(amount, kind, now) == 0:
            made.take(amount, now)
            sent.append((now, amount, kind))
            if is_answered:
                made.answered(amount)
    return sent


@given(STEPS, st.booleans())
def test_no_window_of_time_ever_holds_more_than_the_limit(
    steps: list[Step], is_answered: bool
) -> None:
    sent = sent_by(window(), steps, is_answered=is_answered)
    for end, _, _ in sent:
        within = [amount for at, amount, _ in sent if end - MINUTE < at <= end]
        assert sum(within) <= LIMIT.amount


@given(STEPS, st.booleans())
def test_what_is_reserved_is_never_used_by_ordinary_requests(
    steps: list[Step], is_answered: bool
) -> None:
    sent = sent_by(window(), steps, is_answered=is_answered)
    for number, (end, _, kind) in enumerate(sent, 1):
        within = [amount for at, amount, _ in sent[:number] if end - MINUTE < at]
        assert sum(within) <= LIMIT.amount * SHARES[kind] // 100


@given(st.lists(STEPS, min_size=3, max_size=3))
def test_processes_that_are_told_nothing_share_a_limit_fairly(many: list[list[Step]]) -> None:
    sent = [
        step
        for steps in many
        for step in sent_by(window(processes=3, is_told=False), steps, is_answered=True)
    ]
    for end, _, _ in sent:
        within = [amount for at, amount, _ in sent if end - MINUTE < at <= end]
        assert sum(within) <= LIMIT.amount


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 10), st.integers(0, 400)),
        max_size=200,
    )
)
def test_processes_that_are_told_the_use_never_reach_the_limit_together(
    steps: list[tuple[int, bool, int, int]],
) -> None:
    """Three processes; answers come whenever they come and tell what the venue counted then."""
    processes = [window(processes=3) for _ in range(3)]
    flying: list[list[tuple[int, int, int]]] = [[], [], []]
    used = now = 0
    for index, answers, amount, pause in steps:
        now += pause * MS // 10  # all within one minute: nothing is forgotten meanwhile
        mine, out = processes[index], flying[index]
        if answers and out:
            weight, sent_at, told = out.pop(0)
            mine.answered(weight)
            mine.tell(told, sent_ns=sent_at, until_ns=MINUTE, limit=None, now_ns=now)
        elif mine.wait_ns(amount, Kind.ORDER, now) == 0:
            mine.take(amount, now)
            used += amount
            out.append((amount, now, used))
        # One request may always fly alone, however large: it is at most ten.
        assert used <= LIMIT.amount + 3 * 10


def test_a_read_waits_until_its_oldest_predecessor_is_a_minute_old() -> None:
    made = window()
    for second in (0, 10):
        made.take(35, second * SECOND_NS)
        made.answered(35)
    for kind, room in ((Kind.RECOVERY, 10), (Kind.URGENT, 30)):
        assert made.wait_ns(room, kind, 20 * SECOND_NS) == 0
        assert made.wait_ns(room + 1, kind, 20 * SECOND_NS) == 40 * SECOND_NS
    assert made.wait_ns(1, Kind.READ, 20 * SECOND_NS) == 40 * SECOND_NS
    assert made.wait_ns(1, Kind.READ, 60 * SECOND_NS) == 0


def test_orders_that_open_leave_room_to_find_out_what_became_of_them() -> None:
    made = window()
    made.take(60, 0)
    made.answered(60)
    assert made.wait_ns(10, Kind.ORDER, SECOND_NS) == 0
    assert made.wait_ns(11, Kind.ORDER, SECOND_NS) == 59 * SECOND_NS
    assert made.wait_ns(20, Kind.RECOVERY, SECOND_NS) == 0
    assert made.wait_ns(21, Kind.RECOVERY, SECOND_NS) == 59 * SECOND_NS


def test_the_venue_counts_others_behind_the_same_address() -> None:
    made = window()
    made.take(1, 0)
    made.answered(1)
    made.tell(79, sent_ns=0, until_ns=30 * SECOND_NS, limit=None, now_ns=0)
    assert made.used(SECOND_NS) == 79
    assert made.wait_ns(1, Kind.READ, SECOND_NS) == 29 * SECOND_NS
    assert made.wait_ns(2, Kind.ORDER, SECOND_NS) == 29 * SECOND_NS
    assert made.wait_ns(21, Kind.URGENT, SECOND_NS) == 0
    assert made.wait_ns(1, Kind.READ, 30 * SECOND_NS) == 0


def test_an_answer_that_came_late_does_not_undo_a_later_count() -> None:
    made = window()
    made.tell(60, sent_ns=2, until_ns=MINUTE, limit=None, now_ns=3)
    made.tell(10, sent_ns=1, until_ns=MINUTE, limit=None, now_ns=4)
    assert made.used(5) == 60


def test_what_was_lost_counts_until_the_venue_has_told_of_it() -> None:
    made = window()
    made.tell(50, sent_ns=0, until_ns=MINUTE, limit=None, now_ns=0)
    made.take(10, 1)
    made.lost(10, 2)
    assert made.used(3) == 60
    made.tell(51, sent_ns=3, until_ns=MINUTE, limit=None, now_ns=4)
    assert made.used(5) == 51


def test_what_provably_never_left_counts_for_nothing() -> None:
    made = window()
    made.take(10, 1)
    made.take(10, 2)
    made.unsent(10, taken_ns=1)
    assert made.used(3) == 10
    made.answered(10)
    assert made.used(3) == 10
    assert made.used(MINUTE + 2) == 0


def test_the_venues_own_figure_replaces_ours() -> None:
    made = window()
    made.tell(0, sent_ns=0, until_ns=MINUTE, limit=200, now_ns=0)
    assert (made.amount, made.ceiling(Kind.READ), made.ceiling(Kind.URGENT)) == (200, 120, 200)


def test_only_so_much_may_be_unanswered_at_a_time_but_cancels_go() -> None:
    made = window(processes=2)
    made.take(10, 0)
    assert made.wait_ns(1, Kind.READ, 1) > 0
    assert made.wait_ns(1, Kind.URGENT, 1) == 0
    made.answered(10)
    assert made.wait_ns(1, Kind.READ, 2) == 0
