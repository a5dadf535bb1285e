"""Which accounts make a book."""

from decimal import Decimal

from hedging.domain.books import BookMember, Link, build_books


def members(*names: str, threshold: str = "0.001") -> list[BookMember]:
    return [BookMember(name, Decimal(threshold)) for name in names]


def keys(members_: list[BookMember], *links: Link, holders: tuple[str, ...] = ()) -> dict:
    books = build_books(members_, links, sandbox_holders=holders)
    return {book.key: book.account_ids for book in books}


def test_accounts_of_one_module_are_one_book_and_a_lone_account_is_its_own() -> None:
    assert keys(members("c", "b", "a"), Link("m", "b", False), Link("m", "c", False)) == {
        "live:a": ("a",),
        "live:b": ("b", "c"),
    }


def test_modules_that_share_an_account_join_their_books() -> None:
    links = [Link("m", "a", False), Link("m", "b", False), Link("n", "b", False)]
    books = build_books(members("a", "b", "c"), [*links, Link("n", "c", False)])
    assert [(book.account_ids, book.module_ids) for book in books] == [
        (("a", "b", "c"), ("m", "n"))
    ]


def test_sandbox_allocations_join_no_live_accounts() -> None:
    assert keys(members("a", "b"), Link("m", "a", True), Link("m", "b", True)) == {
        "live:a": ("a",),
        "live:b": ("b",),
        "sandbox:a": ("a", "b"),
    }


def test_simulated_positions_left_behind_keep_a_sandbox_book() -> None:
    assert keys(members("a", "b"), holders=("b", "gone")) == {
        "live:a": ("a",),
        "live:b": ("b",),
        "sandbox:b": ("b",),
    }


def test_the_tightest_account_sets_the_threshold_and_order_changes_nothing() -> None:
    accounts = [*members("b", threshold="0.002"), *members("a", threshold="0.0005")]
    links = [Link("m", "a", False), Link("m", "b", False)]
    (book,) = build_books(accounts, links)
    assert book.delta_threshold == Decimal("0.0005")
    assert build_books(reversed(accounts), reversed(links)) == (book,)


def test_an_allocation_to_an_account_that_is_gone_is_ignored() -> None:
    assert keys(members("a"), Link("m", "a", False), Link("m", "gone", False)) == {"live:a": ("a",)}
