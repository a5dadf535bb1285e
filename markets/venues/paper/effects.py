"""What faults change at once, and undo when they end: clock, modes, listings, liquidations."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from markets.venues.paper.engine import ADL_PREFIX, LIQUIDATION_PREFIX, Engine
from markets.venues.paper.faults import ANY, Fault, FaultError, FaultKind, Stage, Standing
from markets.venues.paper.lies import Past
from markets.venues.paper.model import Account, Instrument, Market
from markets.venues.paper.prices import RandomWalk


class World(Protocol):
    """The parts of a venue that faults reach into."""

    engine: Engine
    past: Past
    walks: dict[str, RandomWalk]
    clock_offset_ms: int

    def now_ns(self) -> int: ...

    def symbol_of(self, base: str) -> str: ...

    def check_fault(self, fault: Fault) -> None:
        """Raise FaultError for what this dialect cannot do."""
        ...

    def drop_sockets(self, fault: Fault) -> int:
        """Cut the open sockets a fault befalls; returns how many."""
        ...


class Effects:
    """Begins and ends the faults that are more than a decision on one message."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lagging: set[int] = set()

    def known(self, fault: Fault) -> Fault:
        """Return `fault` with the venue's own symbol; raises FaultError for what is unknown."""
        engine = self._world.engine
        if fault.account != ANY and fault.account not in engine.accounts:
            raise FaultError(f"unknown account {fault.account!r}")
        if fault.symbol != ANY:
            try:
                fault = replace(fault, symbol=self._world.symbol_of(fault.symbol))
            except KeyError:
                raise FaultError(f"unknown symbol {fault.symbol!r}") from None
        self._world.check_fault(fault)
        if fault.kind is FaultKind.KEEPALIVE_FAILS and fault.method == ANY:
            return replace(fault, method="PUT")
        return fault

    def begin(self, standing: Standing) -> None:
        fault = standing.fault
        if fault.kind is FaultKind.QUERY_LAG:
            self._lagging.add(standing.fault_id)
            self._world.past.start(list(self._world.engine.accounts.values()))
        elif fault.kind is FaultKind.WS_DROP:
            self._drop(standing)
        elif (act := _BEGIN.get(fault.kind)) is not None:
            act(self._world, standing)
        if standing.stage is Stage.ONCE:
            standing.left = 0

    def end(self, standing: Standing) -> None:
        if standing.fault.kind is FaultKind.QUERY_LAG:
            self._lagging.discard(standing.fault_id)
            if not self._lagging:
                self._world.past.stop()
        elif (act := _END.get(standing.fault.kind)) is not None:
            act(self._world, standing)

    def _drop(self, standing: Standing) -> None:
        standing.fired += self._world.drop_sockets(standing.fault)
        if standing.fault.uses == 1:
            standing.left = 0


Act = Callable[[World, Standing], None]


def _shift_clock(world: World, standing: Standing) -> None:
    world.clock_offset_ms += standing.fault.offset_ms


def _shift_back(world: World, standing: Standing) -> None:
    world.clock_offset_ms -= standing.fault.offset_ms


def _account(world: World, standing: Standing) -> Account:
    return world.engine.accounts[standing.fault.account]


def _market(world: World, standing: Standing) -> Market:
    return world.engine.markets[standing.fault.symbol]


def _enter_hedge_mode(world: World, standing: Standing) -> None:
    _account(world, standing).hedge_mode = True


def _leave_hedge_mode(world: World, standing: Standing) -> None:
    _account(world, standing).hedge_mode = False


def _delist(world: World, standing: Standing) -> None:
    _market(world, standing).listed = False


def _relist(world: World, standing: Standing) -> None:
    _market(world, standing).listed = True


def _unlist(world: World, standing: Standing) -> None:
    _market(world, standing).known = False


def _list_again(world: World, standing: Standing) -> None:
    _market(world, standing).known = True


def _change_rules(world: World, standing: Standing) -> None:
    fault, market = standing.fault, _market(world, standing)
    standing.kept["instrument"] = market.instrument
    rules = market.instrument
    changed = replace(
        rules,
        tick=fault.tick or rules.tick,
        lot=fault.lot or rules.lot,
        min_notional=fault.min_notional or rules.min_notional,
    )
    _take_rules(world, market, changed)


def _restore_rules(world: World, standing: Standing) -> None:
    _take_rules(world, _market(world, standing), standing.kept["instrument"])


def _take_rules(world: World, market: Market, instrument: Instrument) -> None:
    market.instrument = instrument
    world.walks[instrument.symbol].keep_to(instrument)


def _close_position(prefix: str) -> Act:
    def act(world: World, standing: Standing) -> None:
        fault = standing.fault
        account = _account(world, standing)
        if not account.size(fault.symbol):
            raise FaultError(f"{fault.account} holds no {fault.symbol}")
        if not 0 < fault.factor <= 1:
            raise FaultError("factor must be above 0 and at most 1")
        lot = _market(world, standing).instrument.lot
        if abs(account.size(fault.symbol)) * fault.factor < lot:
            raise FaultError(f"that share of {fault.symbol} is less than {lot}")
        world.engine.close_position(
            account, fault.symbol, share=fault.factor, prefix=prefix, now_ns=world.now_ns()
        )

    return act


def _transfer(world: World, standing: Standing) -> None:
    world.engine.transfer(_account(world, standing), standing.fault.amount, now_ns=world.now_ns())


_BEGIN: Final[Mapping[FaultKind, Act]] = {
    FaultKind.CLOCK_OFFSET: _shift_clock,
    FaultKind.HEDGE_MODE: _enter_hedge_mode,
    FaultKind.DELISTED: _delist,
    FaultKind.UNLISTED: _unlist,
    FaultKind.INSTRUMENT: _change_rules,
    FaultKind.LIQUIDATION: _close_position(LIQUIDATION_PREFIX),
    FaultKind.ADL: _close_position(ADL_PREFIX),
    FaultKind.TRANSFER: _transfer,
}
_END: Final[Mapping[FaultKind, Act]] = {
    FaultKind.CLOCK_OFFSET: _shift_back,
    FaultKind.HEDGE_MODE: _leave_hedge_mode,
    FaultKind.DELISTED: _relist,
    FaultKind.UNLISTED: _list_again,
    FaultKind.INSTRUMENT: _restore_rules,
}
