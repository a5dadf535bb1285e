"""The intent's table of moves and its fixed columns, as a database trigger."""

from collections.abc import Iterable

import pgtrigger

from strategies.domain.intent import INTENT_TABLE, PENDING

_FIXED = (
    "intent_id",
    "client_order_id",
    "account_id",
    "instrument_id",
    "module_id",
    "symbol",
    "side",
    "type",
    "amount",
    "price",
    "reduce_only",
    "sandbox",
    "created_at",
)
_CLAIMED = ("claim_fence", "claimed_by", "signed_at", "expires_at")


def _changed(columns: Iterable[str]) -> str:
    return " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in columns)


def legal_moves() -> pgtrigger.Trigger:
    """Refuse moves off the table, changed fixed columns or claims, and shrinking fills."""
    pairs = sorted({(*old, *new) for (old, _event), new in INTENT_TABLE.items()})
    rows = ", ".join(f"('{a}', '{b}', '{c}', '{d}')" for a, b, c, d in pairs)
    changed, claimed = _changed(_FIXED), _changed(_CLAIMED)
    return pgtrigger.Trigger(
        name="intent_legal_moves",
        when=pgtrigger.Before,
        operation=pgtrigger.Update,
        func=f"""
            IF (NEW.state, NEW.submission) IS DISTINCT FROM (OLD.state, OLD.submission)
               AND NOT (OLD.state, OLD.submission, NEW.state, NEW.submission) IN (VALUES {rows})
            THEN
                RAISE EXCEPTION 'intent %: illegal move from %/% to %/%', OLD.intent_id,
                    OLD.state, OLD.submission, NEW.state, NEW.submission
                    USING ERRCODE = 'check_violation';
            END IF;
            IF {changed} THEN
                RAISE EXCEPTION 'intent %: what was asked for cannot change', OLD.intent_id
                    USING ERRCODE = 'check_violation';
            END IF;
            IF OLD.claim_fence > 0 AND ({claimed}) THEN
                RAISE EXCEPTION 'intent %: a claim does not change', OLD.intent_id
                    USING ERRCODE = 'check_violation';
            END IF;
            IF OLD.venue_order_id <> '' AND NEW.venue_order_id IS DISTINCT FROM OLD.venue_order_id
            THEN
                RAISE EXCEPTION 'intent %: an order keeps its venue id', OLD.intent_id
                    USING ERRCODE = 'check_violation';
            END IF;
            IF NEW.filled_amount < OLD.filled_amount THEN
                RAISE EXCEPTION 'intent %: filled amount cannot shrink', OLD.intent_id
                    USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        """,
    )


def born_pending() -> pgtrigger.Trigger:
    """Refuse an intent that is not pending when it is written."""
    return pgtrigger.Trigger(
        name="intent_born_pending",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert,
        func=f"""
            IF (NEW.state, NEW.submission)
               IS DISTINCT FROM ('{PENDING.state}', '{PENDING.submission}')
            THEN
                RAISE EXCEPTION 'intent %: must begin pending', NEW.intent_id
                    USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        """,
    )
