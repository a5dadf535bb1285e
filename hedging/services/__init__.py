"""Writes of hedging: evaluating books, finishing hedges, recording trades, reconciling."""

from hedging.services.breaks import break_accept, break_take
from hedging.services.evaluating import book_evaluate, books_evaluate, facts_evaluate
from hedging.services.fills import fills_attach, fills_record, fills_tell, fills_write
from hedging.services.finishing import execution_finish, executions_finish
from hedging.services.making import MakerWatch
from hedging.services.reconciling import account_reconcile, positions_compare
from hedging.services.reducing import UtilizationWatch, book_reduce
from hedging.services.resolving import next_look_at, unknown_look
from hedging.services.throttling import throttle_release

__all__ = [
    "MakerWatch",
    "UtilizationWatch",
    "account_reconcile",
    "book_evaluate",
    "book_reduce",
    "books_evaluate",
    "break_accept",
    "break_take",
    "execution_finish",
    "executions_finish",
    "facts_evaluate",
    "fills_attach",
    "fills_record",
    "fills_tell",
    "fills_write",
    "next_look_at",
    "positions_compare",
    "throttle_release",
    "unknown_look",
]
