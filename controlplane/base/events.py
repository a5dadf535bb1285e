"""Events go against the direction of imports: apps publish, the composition root subscribes."""

from collections.abc import Callable

from controlplane.kernel.events import Occurrence

Subscriber = Callable[[Occurrence], None]
_subscribers: list[Subscriber] = []


def subscribe(subscriber: Subscriber) -> None:
    """Call `subscriber` for every later occurrence; a second registration changes nothing."""
    if subscriber not in _subscribers:
        _subscribers.append(subscriber)


def publish(occurrence: Occurrence) -> None:
    """Hand the occurrence to every subscriber, inside the caller's transaction."""
    for subscriber in _subscribers:
        subscriber(occurrence)
