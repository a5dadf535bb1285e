"""How numbers and states look on the console."""

from decimal import Context, Decimal
from typing import Final

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

register = template.Library()
TEN_DIGITS: Final = Context(prec=10)

TONES: Final = {
    "good": {"neutral", "active", "healthy", "success", "enable", "filled", "INFO"},
    "warn": {"hedging", "paused", "degraded", "partial", "WARN"},
    "bad": {"breach", "halted", "emergency", "failing", "fail", "failed", "errored", "CRITICAL"},
}
LABELS: Final[dict[str, Promise]] = {
    "neutral": _("neutral"),
    "breach": _("out of threshold"),
    "hedging": _("hedging"),
    "unknown": _("unknown"),
    "halted": _("halted"),
    "active": _("active"),
    "paused": _("paused"),
    "emergency": _("emergency"),
    "healthy": _("healthy"),
    "degraded": _("degraded"),
    "failing": _("failing"),
    "success": _("success"),
    "partial": _("partial"),
    "fail": _("failed"),
    "http": _("over HTTP"),
    "synthetic": _("synthetic price"),
    "none": _("no price"),
}


@register.filter
def state_tone(state: str) -> str:
    """Return the colour class of a state; `muted` for states that say nothing."""
    return next((tone for tone, states in TONES.items() if str(state) in states), "muted")


@register.filter
def state_label(state: str) -> str:
    """Return a state in the reader's language."""
    return str(LABELS.get(str(state), state))


@register.filter
def signed(value: Decimal, places: int) -> str:
    """Return a number with its sign, so +0.1 and −0.1 line up."""
    text = f"{value:+.{places}f}"
    return text.replace("-", "−")


@register.filter
def plain(value: Decimal, places: int) -> str:
    """Return a number with a point whatever the language; also used in style attributes."""
    return f"{value:.{places}f}"


@register.filter
def money(value: Decimal) -> str:
    """Return USD with thousands set apart."""
    return f"{value:,.2f}".replace("-", "−")


@register.filter
def price(value: Decimal | None) -> str:
    """Return a price of ten digits at most without trailing zeros; a dash when there is none."""
    if value is None or value == "":
        return "–"
    text = f"{TEN_DIGITS.plus(value):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
