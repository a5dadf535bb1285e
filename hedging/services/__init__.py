"""Writes of hedging: evaluating books, finishing hedges, recording trades."""

from hedging.services.evaluating import book_evaluate, books_evaluate, facts_evaluate
from hedging.services.fills import fills_attach, fills_record
from hedging.services.finishing import execution_finish, executions_finish

__all__ = [
    "book_evaluate",
    "books_evaluate",
    "execution_finish",
    "executions_finish",
    "facts_evaluate",
    "fills_attach",
    "fills_record",
]
