"""Which accounts have orders on their way. Apps that keep orders know, and register to be asked."""

from collections.abc import Callable, Collection

Asked = Callable[[Collection[str]], Collection[str]]
_asked: list[Asked] = []


def ask(asked: Asked) -> None:
    """Have `asked` say which of some accounts have orders on their way."""
    if asked not in _asked:
        _asked.append(asked)


def accounts_in_flight(account_ids: Collection[str]) -> set[str]:
    """Return those of the accounts with an order whose end is not known.

    Ask with the accounts' rows locked: an order is claimed under the same lock.
    """
    return {busy for asked in _asked for busy in asked(account_ids)} if account_ids else set()
