"""What every admin page shares: audited edits, read-only records, confirmed actions, columns."""

from controlplane.base.admin.actions import actor_of, confirm_with_reason
from controlplane.base.admin.columns import badge, duration, field, number, related, rows_link
from controlplane.base.admin.forms import AddressFormField
from controlplane.base.admin.options import (
    AuditedModelAdmin,
    ConsoleModelAdmin,
    FieldsMixin,
    ReadOnlyModelAdmin,
)
from controlplane.base.admin.stops import stop_button

__all__ = [
    "AddressFormField",
    "AuditedModelAdmin",
    "ConsoleModelAdmin",
    "FieldsMixin",
    "ReadOnlyModelAdmin",
    "actor_of",
    "badge",
    "confirm_with_reason",
    "duration",
    "field",
    "number",
    "related",
    "rows_link",
    "stop_button",
]
