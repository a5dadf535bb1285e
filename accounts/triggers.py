"""The table of a proxy session's moves, as a database trigger."""

import pgtrigger

from accounts.domain.proxy import PROXY_TABLE


def legal_proxy_moves() -> pgtrigger.Trigger:
    """Refuse a change of a session's status that the table does not have."""
    pairs = sorted({(str(old), str(new)) for (old, _event), new in PROXY_TABLE.items()})
    rows = ", ".join(f"('{old}', '{new}')" for old, new in pairs)
    return pgtrigger.Trigger(
        name="proxysession_legal_moves",
        when=pgtrigger.Before,
        operation=pgtrigger.Update,
        func=f"""
            IF NEW.status IS DISTINCT FROM OLD.status
               AND NOT (OLD.status, NEW.status) IN (VALUES {rows})
            THEN
                RAISE EXCEPTION 'proxy session %: illegal move from % to %', OLD.session_id,
                    OLD.status, NEW.status USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        """,
    )
