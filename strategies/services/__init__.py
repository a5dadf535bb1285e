"""Writes of order intents: wishes, moves along their table, and what venues say of them."""

from strategies.services.moving import (
    Move,
    intent_locked,
    intent_move,
    intents_locked,
    intents_move,
    place_of,
)
from strategies.services.reports import (
    answer_quarantine,
    intent_fill_apply,
    order_asked,
    order_report_apply,
    order_terms,
    orders_record,
    report_move,
)
from strategies.services.writing import (
    intent_create,
    intent_draft,
    intent_withdraw,
    intents_pair,
    intents_write,
    sandbox_problem,
)

__all__ = [
    "Move",
    "answer_quarantine",
    "intent_create",
    "intent_draft",
    "intent_fill_apply",
    "intent_locked",
    "intent_move",
    "intent_withdraw",
    "intents_locked",
    "intents_move",
    "intents_pair",
    "intents_write",
    "order_asked",
    "order_report_apply",
    "order_terms",
    "orders_record",
    "place_of",
    "report_move",
    "sandbox_problem",
]
