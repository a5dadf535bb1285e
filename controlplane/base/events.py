"""Events go against the direction of imports: apps publish, the composition root subscribes."""

from collections.abc import Callable, Sequence

from controlplane.kernel.events import Occurrence

Subscriber = Callable[[Sequence[Occurrence]], None]
_subscribers: list[Subscriber] = []


def subscribe(subscriber: Subscriber) -> None:
    """Call `subscriber` with later occurrences; a second registration changes nothing."""
    if subscriber not in _subscribers:
        _subscribers.append(subscriber)


def publish(*occurrences: Occurrence) -> None:
    """Hand occurrences to every subscriber together, inside the caller's transaction."""
    if occurrences:
        for subscriber in _subscribers:
            subscriber(occurrences)
