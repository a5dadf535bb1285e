"""Values that must not be seen, and the scrubbing of texts that might hold one."""

import hashlib
import hmac
import re
from typing import Final

MASK: Final = "[secret]"
_PATTERNS: Final = (
    re.compile(
        r"(?i)\b(signature|listenKey|apiKey|api_key|secret|passphrase|password|token)"
        r"(\"?\s*[=:]\s*\"?)[^&\s\"',}]+"
    ),
    re.compile(
        r"(?i)(x-mbx-apikey|pf-api-key|authorization|proxy-authorization)"
        r"(\"?'?\s*[=:]\s*\"?'?)[^\s\"',}]+(?:\s+[A-Za-z0-9+/=._-]{8,})?"
    ),
    re.compile(r"(://)([^/@\s:]+:)[^/@\s]+(?=@)"),
)


class Secret:
    """A text that shows itself only to `reveal()`; str, repr, format and pickle do not tell it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Call it only where the secret is used."""
        return self._text

    def fingerprint(self, *, key: bytes) -> str:
        """Return a short keyed digest that tells two secrets apart and gives none away.

        The last four characters are added when the secret is long enough to spare them.
        """
        digest = hmac.new(key, self._text.encode(), hashlib.sha256).hexdigest()[:12]
        return f"…{self._text[-4:]} {digest}" if len(self._text) >= 20 else digest

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text, other._text)

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __repr__(self) -> str:
        return f"Secret({MASK!r})" if self._text else "Secret('')"

    def __deepcopy__(self, memo: dict[int, object]) -> "Secret":
        return self

    def __reduce__(self) -> str:
        raise TypeError("A secret is not pickled.")


def redact(text: str) -> str:
    """Return `text` with everything that looks like a credential masked."""
    for pattern in _PATTERNS:
        text = pattern.sub(_masked, text)
    return text


def _masked(found: re.Match[str]) -> str:
    # No template: `re` imports a module for one, and an ending process logs without imports.
    return f"{found[1]}{found[2]}{MASK}"
