"""The histories of an account's money as looks read them: slice by slice, and until when."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from accounts.choices import SyncProblem
from accounts.models import AccountState, ExchangeAccount
from accounts.reading import FUNDING, TRANSFERS, AccountReading, HistoryRead
from accounts.selectors import history_resumes_at
from accounts.services.funding import funding_record
from accounts.services.transfers import transfers_record
from controlplane.base.audit import Actor


@dataclass(frozen=True, slots=True)
class Problem:
    """What a look could not tell: of which kind, and in words."""

    kind: SyncProblem
    text: str


def histories_write(
    state: AccountState, account: ExchangeAccount, reading: AccountReading, actor: Actor
) -> None:
    """Book what a look has read of funding and transfers, and note how far it got.

    A slice is booked as soon as it is read. Until when all is read moves only at a history's end,
    and no farther than to when its first slice was asked for: newer lines may come first. What
    failed with all the rest is asked for again as soon as the rest is well.
    """
    paid, moved = reading.funding, reading.transfers
    if paid is not None:
        funding_record(account=account, reports=paid.rows)
    if moved is not None:
        is_known = state.transfers_at is not None
        transfers_record(account=account, reports=moved.rows, actor=actor, tells=is_known)
    problem = state.last_error_code
    was_away = problem is not None and not SyncProblem(problem).is_of_a_part
    is_back = was_away and not reading.errors
    for name, read in ((FUNDING, paid), (TRANSFERS, moved)):
        _note(state, name, read, reading)
        if is_back and read is None and not getattr(state, f"{name}_cursor"):
            setattr(state, f"{name}_tried_at", None)


def histories_problems(state: AccountState) -> dict[str, Problem]:
    """Return, by name, the histories that are not read whole and when each is read on."""
    found = {}
    for name in (FUNDING, TRANSFERS):
        resumes_at = history_resumes_at(state, name)
        if resumes_at is not None:
            text = _("not read whole yet; read on at %(at)s.") % {"at": f"{resumes_at:%H:%M:%SZ}"}
            kind = SyncProblem.HISTORY_UNREAD
            found[name] = Problem(kind, f"{name}: {kind}: {text}")
    return found


def _note(
    state: AccountState, name: str, read: HistoryRead | None, reading: AccountReading
) -> None:
    """Note a read of a history, whole, in part or failed. A failure leaves the cursor."""
    if read is None and name not in reading.errors:
        return
    setattr(state, f"{name}_tried_at", reading.at)
    if read is None:
        if not getattr(state, f"{name}_cursor"):
            setattr(state, f"{name}_begun_at", reading.at)
        return
    setattr(state, f"{name}_begun_at", read.begun_at)
    setattr(state, f"{name}_cursor", read.cursor)
    if not read.cursor:
        setattr(state, f"{name}_at", read.begun_at)
