"""Which accounts hedge each other: connected components of accounts joined by allocations.

Live and sandbox positions never mix, so each side has books of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class BookMember:
    """An account as books see it; `delta_threshold` is BTC-equivalent."""

    account_id: str
    delta_threshold: Decimal


@dataclass(frozen=True, slots=True)
class Link:
    """An allocation of an enabled module; `sandbox` when its orders are simulated."""

    module_id: str
    account_id: str
    sandbox: bool


@dataclass(frozen=True, slots=True)
class Book:
    """Accounts whose deltas are netted. `delta_threshold` is the smallest of theirs."""

    key: str
    sandbox: bool
    account_ids: tuple[str, ...]
    module_ids: tuple[str, ...]
    delta_threshold: Decimal


def build_books(
    members: Iterable[BookMember], links: Iterable[Link], *, sandbox_holders: Iterable[str] = ()
) -> tuple[Book, ...]:
    """Return every live book, then every sandbox book, each side in order of its key.

    Every account is in exactly one live book. It is in a sandbox book when it has a sandbox
    allocation, or is one of `sandbox_holders` (it still holds simulated positions).
    """
    thresholds = {member.account_id: member.delta_threshold for member in members}
    known = [link for link in links if link.account_id in thresholds]
    simulated = {link.account_id for link in known if link.sandbox}
    simulated |= thresholds.keys() & set(sandbox_holders)
    return (
        *_side(sorted(thresholds), known, thresholds, sandbox=False),
        *_side(sorted(simulated), known, thresholds, sandbox=True),
    )


def book_key(account_ids: Iterable[str], *, sandbox: bool) -> str:
    """Return the key of the book of these accounts: its side and its smallest account."""
    return f"{'sandbox' if sandbox else 'live'}:{min(account_ids)}"


def _side(
    account_ids: Sequence[str],
    links: Sequence[Link],
    thresholds: Mapping[str, Decimal],
    *,
    sandbox: bool,
) -> list[Book]:
    mine = [link for link in links if link.sandbox is sandbox]
    modules: dict[str, set[str]] = defaultdict(set)
    for link in mine:
        modules[link.account_id].add(link.module_id)
    books = []
    for component in _components(account_ids, mine):
        books.append(
            Book(
                key=book_key(component, sandbox=sandbox),
                sandbox=sandbox,
                account_ids=tuple(sorted(component)),
                module_ids=tuple(sorted(set().union(*(modules[name] for name in component)))),
                delta_threshold=min(thresholds[name] for name in component),
            )
        )
    return sorted(books, key=lambda book: book.key)


def _components(account_ids: Sequence[str], links: Sequence[Link]) -> list[list[str]]:
    """Union-find over accounts; two accounts of one module belong together."""
    parent = {name: name for name in account_ids}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    first_of_module: dict[str, str] = {}
    for link in links:
        other = first_of_module.setdefault(link.module_id, link.account_id)
        parent[root(link.account_id)] = root(other)
    groups: dict[str, list[str]] = defaultdict(list)
    for name in account_ids:
        groups[root(name)].append(name)
    return list(groups.values())
