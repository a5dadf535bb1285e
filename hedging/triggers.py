"""The table of an emergency stop's moves, as a database trigger on the stop and its accounts."""

import pgtrigger

from hedging.domain.emergency import STOP_MOVES, StopState


def legal_stop_moves(name: str, key: str, fixed: tuple[str, ...]) -> pgtrigger.Trigger:
    """Refuse a move of `state` that the table does not have, and a change of `fixed` columns.

    A stop may pass several states at once: its moves are written one by one.
    """
    pairs = ", ".join(f"('{old}', '{new}')" for old, new in sorted(STOP_MOVES))
    changed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in fixed)
    return pgtrigger.Trigger(
        name=name,
        when=pgtrigger.Before,
        operation=pgtrigger.Update,
        func=f"""
            IF NEW.state IS DISTINCT FROM OLD.state
               AND NOT (OLD.state, NEW.state) IN (VALUES {pairs})
            THEN
                RAISE EXCEPTION 'emergency stop %: illegal move from % to %', OLD.{key},
                    OLD.state, NEW.state USING ERRCODE = 'check_violation';
            END IF;
            IF {changed} THEN
                RAISE EXCEPTION 'emergency stop %: what was asked for cannot change', OLD.{key}
                    USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        """,
    )


def born_engaged(name: str, key: str) -> pgtrigger.Trigger:
    """Refuse a stop, or an account of one, that does not begin engaged."""
    return pgtrigger.Trigger(
        name=name,
        when=pgtrigger.Before,
        operation=pgtrigger.Insert,
        func=f"""
            IF NEW.state IS DISTINCT FROM '{StopState.ENGAGED}' THEN
                RAISE EXCEPTION 'emergency stop %: must begin engaged', NEW.{key}
                    USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        """,
    )
