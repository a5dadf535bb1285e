"""The limiter of a process: bans, probes, waiting, and what other processes tell."""

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.venues.errors import RateLimited
from markets.venues.ratelimit.limiter import Gate, Limiter, Permit
from markets.venues.ratelimit.names import account_name, exit_name, host_name
from markets.venues.ratelimit.saying import last_look
from markets.venues.ratelimit.terms import SECOND_NS, Cost, Kind, Limit, Scope, Terms, Told

TERMS = Terms((Limit(Scope.EXIT, 100, 60), Limit(Scope.ORDERS, 10, 10)))
READ, ORDER = Cost(Kind.READ, 1), Cost(Kind.ORDER, 1, orders=1)
CANCEL = Cost(Kind.URGENT, 1)
ALL = (READ, ORDER, CANCEL)


class FakeClock:
    def __init__(self) -> None:
        self.now_ns = 1

    def __call__(self) -> int:
        return self.now_ns

    def pass_seconds(self, seconds: int) -> None:
        self.now_ns += seconds * SECOND_NS


class Board:
    """What processes share, in memory."""

    def __init__(self) -> None:
        self.bans: dict[str, int] = {}
        self.is_broken = False

    def post(self, key: str, seconds: int, reason: str) -> None:
        if self.is_broken:
            raise OSError("no database")
        self.bans[key] = seconds

    def read(self) -> Mapping[str, int]:
        if self.is_broken:
            raise OSError("no database")
        return self.bans


def limiter(clock: FakeClock) -> Limiter:
    return Limiter(clock=clock, luck=lambda _most: 0)


def way(made: Limiter, account: str | None = "a", *, name: str = "direct") -> Gate:
    return made.gate("venue", exit_name=name, account=account, terms=TERMS)


def leave(gate: Gate, cost: Cost) -> Permit:
    got = gate.limiter.attempt(gate, cost)
    assert isinstance(got, Permit)
    return got


async def refuse(gate: Gate, seconds: int, scope: Scope | None = Scope.EXIT) -> None:
    error = RateLimited("no", retry_after=seconds, scope=scope)
    await leave(gate, ORDER).answered(429, (), error)


async def test_nothing_at_all_leaves_within_a_ban_and_then_one_tries_the_way() -> None:
    clock = FakeClock()
    made = limiter(clock)
    gate, other = way(made), way(made, "b")
    await refuse(gate, 7)
    for _second in range(8):
        for cost in ALL:
            assert not isinstance(made.attempt(gate, cost), Permit)
            assert not isinstance(made.attempt(other, cost), Permit)
        clock.pass_seconds(1)
    trying = leave(other, READ)
    assert not isinstance(made.attempt(gate, CANCEL), Permit)
    await trying.answered(200, ())
    leave(gate, READ)


async def test_a_try_that_got_no_answer_is_made_again_by_one() -> None:
    clock = FakeClock()
    gate = way(limiter(clock))
    await refuse(gate, 1)
    clock.pass_seconds(2)
    leave(gate, READ).lost()
    leave(gate, READ)
    assert not isinstance(gate.limiter.attempt(gate, READ), Permit)


async def test_a_ban_is_of_one_way_only() -> None:
    made = limiter(FakeClock())
    gate, proxied = way(made), way(made, name="proxy:1")
    elsewhere = made.gate("other", exit_name="direct", account="a", terms=TERMS)
    await refuse(gate, 120)
    leave(proxied, READ)
    leave(elsewhere, READ)


async def test_too_many_orders_stop_the_orders_of_their_account_only() -> None:
    made = limiter(FakeClock())
    gate, other = way(made), way(made, "b")
    await refuse(gate, 10, Scope.ORDERS)
    assert not isinstance(made.attempt(gate, ORDER), Permit)
    leave(gate, READ)
    leave(gate, CANCEL)
    leave(other, ORDER)


async def test_an_overload_bans_nobody() -> None:
    gate = way(limiter(FakeClock()))
    await refuse(gate, 30, None)
    leave(gate, ORDER)


@given(
    st.lists(
        st.tuples(st.sampled_from(ALL), st.integers(0, 4), st.sampled_from([0, 0, 0, 2, 5])),
        max_size=80,
    )
)
def test_no_request_ever_leaves_inside_a_ban(steps: list[tuple[Cost, int, int]]) -> None:
    clock = FakeClock()
    made = limiter(clock)
    gate, banned_until = way(made), 0

    async def go() -> None:
        nonlocal banned_until
        for cost, pause, ban in steps:
            clock.pass_seconds(pause)
            got = made.attempt(gate, cost)
            if not isinstance(got, Permit):
                continue
            assert clock.now_ns >= banned_until
            if ban:
                banned_until = max(banned_until, clock.now_ns + ban * SECOND_NS)
                await got.answered(429, (), RateLimited("no", retry_after=ban))
            else:
                await got.answered(200, ())

    asyncio.run(go())


async def test_a_ban_one_process_met_is_told_before_its_caller_hears_of_it() -> None:
    clock, board = FakeClock(), Board()
    one, two = limiter(clock), limiter(clock)
    one.share(board, processes=2)
    two.share(board, processes=2)
    await refuse(way(one), 60)
    assert board.bans == {"venue direct": 60}
    with pytest.raises(RateLimited) as held:
        await way(two).enter(READ)
    assert held.value.retry_after == 61


async def test_a_ban_told_by_a_message_holds_at_once_and_the_board_is_still_read() -> None:
    clock, board = FakeClock(), Board()
    made = limiter(clock)
    made.share(board, processes=2)
    gate, elsewhere = way(made), way(made, name="proxy:1")
    leave(gate, READ).lost()
    made.hear_of("venue direct", 60)
    for cost in ALL:
        assert not isinstance(made.attempt(gate, cost), Permit)
    board.bans["venue proxy:1"] = 60  # its message was lost
    with pytest.raises(RateLimited):
        await elsewhere.enter(READ)


async def test_a_message_that_may_have_been_missed_has_the_next_request_ask_the_board() -> None:
    board, made = Board(), limiter(FakeClock())
    made.share(board, processes=2)
    gate = way(made)
    await (await gate.enter(READ)).answered(200, ())
    board.bans["venue direct"] = 60
    made.doubt_news()
    with pytest.raises(RateLimited):
        await gate.enter(READ)


async def test_an_order_is_kept_that_a_ban_overtook_while_it_looked_a_last_time() -> None:
    made = limiter(FakeClock())
    gate = way(made)

    async def look() -> None:
        made.hear_of("venue direct", 60)

    last_look.set(look)
    with pytest.raises(RateLimited) as held:
        await gate.enter(ORDER)
    assert held.value.retry_after == 61


async def test_without_the_board_requests_still_leave() -> None:
    board, made = Board(), limiter(FakeClock())
    board.is_broken = True
    made.share(board, processes=2)
    permit = await way(made).enter(READ)
    await permit.answered(429, (), RateLimited("no", retry_after=60))
    with pytest.raises(RateLimited):
        await way(made).enter(CANCEL)


async def test_an_order_fails_at_once_rather_than_wait_beyond_its_time() -> None:
    clock = FakeClock()
    gate = way(limiter(clock))
    told = (Told(Scope.ORDERS, 10, used=10, seconds_left=6),)
    await leave(gate, ORDER).answered(200, told)
    with pytest.raises(RateLimited) as held:
        await gate.enter(ORDER)
    assert held.value.retry_after == 6
    leave(gate, CANCEL)


async def test_a_read_waits_for_an_answer_and_a_cancel_overtakes_it() -> None:
    gate = way(limiter(FakeClock()))
    first = leave(gate, Cost(Kind.READ, 20))
    waiting = asyncio.create_task(gate.enter(READ))
    await asyncio.sleep(0)
    cancel = await gate.enter(CANCEL)
    assert not waiting.done()
    await cancel.answered(200, ())
    await first.answered(200, ())
    assert isinstance(await asyncio.wait_for(waiting, 10), Permit)


async def test_a_storm_of_5xx_holds_back_all_but_cancels_and_passes() -> None:
    clock = FakeClock()
    gate = way(limiter(clock))
    for _ in range(5):
        await leave(gate, READ).answered(503, ())
    assert not isinstance(gate.limiter.attempt(gate, ORDER), Permit)
    await leave(gate, CANCEL).answered(503, ())
    for _ in range(3):
        clock.pass_seconds(1)
        await leave(gate, READ).answered(200, ())
        clock.pass_seconds(1)
    await leave(gate, READ).answered(200, ())
    leave(gate, READ)


def test_limits_a_venue_lists_hold_for_all_its_accounts() -> None:
    made = limiter(FakeClock())
    before = way(made)
    before.learn([Limit(Scope.EXIT, 50, 60), Limit(Scope.ORDERS, 20, 10)])
    way(made, "later")
    assert {(use.key, use.limit, use.reserved) for use in made.uses()} == {
        ("venue direct", 50, 10),
        ("venue a orders", 20, 4),
        ("venue later orders", 20, 4),
    }


def test_names_tell_exits_apart_and_hold_no_password() -> None:
    one = exit_name("http://alice:secret@proxy.example:8080")
    two = exit_name("http://bob:secret@proxy.example:8080")
    assert one == exit_name("http://alice:changed@proxy.example:8080")
    assert one != two
    assert "secret" not in one
    assert one.startswith("proxy.example:8080#")
    assert (exit_name(None), host_name("https://fapi.binance.com")) == (
        "direct",
        "fapi.binance.com",
    )
    assert "key" not in account_name("my-key")
