"""A fault as it is declared: a frozen value, checked against the table of kinds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from controlplane.kernel.errors import ControlPlaneError, InvalidNumber
from controlplane.kernel.units import finite_decimal, positive_decimal
from markets.venues.paper.faults.kinds import HOOKS, MATCHES, TRAITS, Channel, FaultKind, Topic
from markets.venues.paper.faults.subjects import Subject
from markets.venues.paper.rules import Reason

ANY: Final = "*"
MAX_TIMES: Final = 100_000
MAX_SECONDS: Final = 86_400
MAX_DELAY_MS: Final = 600_000
BAN_STATUSES: Final = (403, 418, 429)


class FaultError(ControlPlaneError):
    """A fault cannot be set as it was given."""

    code = "paper_fault"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, for whom, how often and how long; `HOOKS[kind]` says which fields count.

    With `accepts` the venue does what was asked first (`post_accept_pre_reply`), without it does
    nothing (`pre_accept`). `times` None is as usual for the kind, and without end when `seconds`
    or a `probability` is given. `factor` is a share of an amount, amounts are base units.
    """

    kind: FaultKind
    method: str = ANY
    path: str = ANY
    accepts: bool = True
    times: int | None = None
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] | None = None
    account: str = ANY
    symbol: str = ANY
    topic: Topic | None = None
    order: str = ANY
    channel: Channel | None = None
    stream: str = ANY
    text: bytes = b""
    probability: Decimal = Decimal(1)
    seconds: Decimal | None = None
    repeat: int = 1
    size: int = 0
    find: bytes = b""
    put: bytes = b""
    reason: Reason | None = None
    retry_after: bool = True
    code: int | None = None
    delay_ms: int = 0
    jitter_ms: int = 0
    offset_ms: int = 0
    lag_seconds: Decimal = Decimal(0)
    factor: Decimal = Decimal(1)
    amount: Decimal = Decimal(0)
    tick: Decimal | None = None
    lot: Decimal | None = None
    min_notional: Decimal | None = None

    @property
    def uses(self) -> int | None:
        """How often it fires; None is without end."""
        if self.times is not None:
            return self.times
        if self.seconds is not None or self.probability < 1:
            return None
        return HOOKS[self.kind].times

    def matches(self, subject: Subject) -> bool:
        """Tell whether `subject` is one that this fault befalls, chance and number aside."""
        return (
            self._concerns(subject)
            and self.method in (ANY, subject.method)
            and self.path in (ANY, subject.path)
            and (self.order == ANY or self.order in subject.traits)
            and self.channel in (None, subject.channel)
            and self.stream in (ANY, subject.stream)
            and self.text in subject.text
        )

    def _concerns(self, subject: Subject) -> bool:
        if self.topic is not None and subject.topic is not self.topic:
            return False
        return (
            subject.topic in HOOKS[self.kind].topics
            and self.account in (ANY, subject.account)
            # A read of everything is also one of this symbol; the lie itself is told by symbol.
            and (self.symbol in (ANY, subject.symbol) or not subject.symbol)
        )


def checked(fault: Fault) -> Fault:
    """Return `fault`, or raise FaultError that names what is wrong with it."""
    hook = HOOKS[fault.kind]
    given = {item.name for item in fields(Fault) if getattr(fault, item.name) != item.default}
    given -= {"kind"}
    allowed = hook.takes | MATCHES[hook.stage]
    if unknown := sorted(given - allowed):
        raise FaultError(f"{fault.kind} does not take {', '.join(map(camel, unknown))}.")
    if missing := sorted(hook.needs - given):
        raise FaultError(f"{fault.kind} needs {', '.join(map(camel, missing))}.")
    if fault.topic is not None and fault.topic not in hook.topics:
        raise FaultError(f"{fault.kind} never befalls {fault.topic}.")
    if fault.kind is FaultKind.BAN and fault.status not in BAN_STATUSES:
        raise FaultError("status of a ban must be 403, 418 or 429.")
    return fault


def fault_from_json(raw: Mapping[str, Any]) -> Fault:
    """Read a fault of JSON values, named in camelCase; raises FaultError that names the field."""
    named = {camel(name): name for name in _READERS}
    if unknown := sorted(set(raw) - set(named) - {"at"}):
        raise FaultError(f"Unknown fields: {', '.join(unknown)}.")
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key == "at":
            values["accepts"] = _point(value)
            continue
        try:
            values[named[key]] = _READERS[named[key]](value)
        except (InvalidNumber, ValueError, TypeError) as error:
            raise FaultError(f"{key}: {error}") from None
    if "kind" not in values:
        raise FaultError(f"kind must be one of {', '.join(FaultKind)}.")
    return checked(Fault(**values))


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


_POINTS: Final[Mapping[str, bool]] = {"pre_accept": False, "post_accept_pre_reply": True}


def _point(value: object) -> bool:
    if not isinstance(value, str) or value not in _POINTS:
        raise FaultError(f"at must be one of {', '.join(_POINTS)}.")
    return _POINTS[value]


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value.encode()


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _headers(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ValueError("must map names to texts")
    return value


def _trait(value: object) -> str:
    if value not in TRAITS:
        raise ValueError(f"must be one of {', '.join(TRAITS)}")
    return str(value)


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return read


def _one_of(kinds: type[StrEnum]) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        try:
            return kinds(str(value))
        except ValueError:
            raise ValueError(f"must be one of {', '.join(kinds)}") from None

    return read


def _number(value: object) -> Decimal:
    return finite_decimal(value, name="it")


def _positive(value: object) -> Decimal:
    return positive_decimal(value, name="it")


def _up_to(most: int) -> Callable[[object], Decimal]:
    def read(value: object) -> Decimal:
        number = _positive(value)
        if number > most:
            raise ValueError(f"must be at most {most}")
        return number

    return read


_DELAY: Final = _whole(0, MAX_DELAY_MS)
_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "kind": _one_of(FaultKind),
    "method": _text,
    "path": _text,
    "accepts": _flag,
    "times": _whole(1, MAX_TIMES),
    "status": _whole(200, 599),
    "body": _bytes,
    "headers": _headers,
    "account": _text,
    "symbol": _text,
    "topic": _one_of(Topic),
    "order": _trait,
    "channel": _one_of(Channel),
    "stream": _text,
    "text": _bytes,
    "probability": _up_to(1),
    "seconds": _up_to(MAX_SECONDS),
    "repeat": _whole(1, 100_000_000),
    "size": _whole(1, 100_000_000),
    "find": _bytes,
    "put": _bytes,
    "reason": _one_of(Reason),
    "retry_after": _flag,
    "code": _whole(1000, 4999),
    "delay_ms": _DELAY,
    "jitter_ms": _DELAY,
    "offset_ms": _whole(-31_536_000_000, 31_536_000_000),
    "lag_seconds": _up_to(MAX_SECONDS),
    "factor": _number,
    "amount": _number,
    "tick": _positive,
    "lot": _positive,
    "min_notional": _positive,
}
