"""Queries that are built once and asked often.

Django takes several times longer to make a query's SQL than PostgreSQL takes to answer a small
one. On the way of an order the same few queries are asked again and again, so their SQL is kept,
for each thread and its connection, and only their parameters change.
"""

import inspect
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from django.db.models import Expression, Field, ForeignObject, Lookup, QuerySet
from django.db.transaction import TransactionManagementError


class Bound(Expression):
    """A parameter of a prepared query, known when the query is asked."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        """Return a placeholder; what it stands for takes its place later."""
        return "%s", [self]


@Field.register_lookup
@ForeignObject.register_lookup
class AnyOf(Lookup):
    """`column__any=`: equal to any member of a list, which is one parameter however long."""

    lookup_name = "any"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        """Return the comparison."""
        column, before = self.process_lhs(compiler, connection)
        members, after = self.process_rhs(compiler, connection)
        return f"{column} = ANY({members})", [*before, *after]


class Prepared:
    """A query whose parameters are those of the function that builds it.

    Calling it asks and returns the rows as its queryset would give them out: objects, tuples or
    values. Parameters are given by name, as the column's own Python type; a list for `__any`.
    Nothing that differs from call to call may go into the queryset in another way. Raises
    ValueError for None, which SQL finds equal to nothing, and TransactionManagementError for a
    query that locks, outside a transaction.
    """

    def __init__(self, build: Callable[..., "QuerySet[Any, Any]"]) -> None:
        self._build = build
        self._names: Final = tuple(inspect.signature(build).parameters)
        self._kept = threading.local()

    def __call__(self, **values: Any) -> list[Any]:
        """Ask with these values."""
        kept: _Kept | None = getattr(self._kept, "query", None)
        if kept is None:
            built = self._build(*(Bound(name) for name in self._names))
            kept = self._kept.query = _Kept(built)
        return kept.ask(values)

    def first(self, **values: Any) -> Any:
        """Ask likewise; return the first row, or None when there is none."""
        return next(iter(self(**values)), None)


def prepared(build: Callable[..., "QuerySet[Any, Any]"]) -> Prepared:
    """Make a function that returns a queryset into a query that is built once."""
    return Prepared(build)


class _Kept:
    """A queryset whose compiler gives out the SQL it made the first time."""

    def __init__(self, queryset: "QuerySet[Any, Any]") -> None:
        query: Any = queryset.query
        self._compiler = query.get_compiler(queryset.db)
        self._sql, self._parameters = self._compiler.as_sql()
        self._values: dict[str, Any] = {}
        self._locks: bool = query.select_for_update
        self._compiler.as_sql = self._as_sql
        query.get_compiler = lambda *_, **__: self._compiler
        self._rows: Iterable[Any] = cast(Any, queryset)._iterable_class(queryset)

    def ask(self, values: dict[str, Any]) -> list[Any]:
        if None in values.values():
            raise ValueError(f"A prepared query takes no None: {values}")
        if self._locks and self._compiler.connection.get_autocommit():
            raise TransactionManagementError("A query that locks belongs in a transaction.")
        self._values = values
        return list(self._rows)

    def _as_sql(self, *_: Any, **__: Any) -> tuple[str, tuple[Any, ...]]:
        return self._sql, tuple(
            self._values[it.name] if isinstance(it, Bound) else it for it in self._parameters
        )
