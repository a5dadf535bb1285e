"""The paper venue's ledger: what happened, in the order it happened, with the venue's own clock.

It is the truth that an oracle compares with our database. Append-only, JSON lines; no secret and
no signature is ever written.
"""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

Entry = dict[str, Any]

MEMORY_ENTRIES: Final = 200_000
HIDDEN_PARAMS: Final = frozenset({"signature", "listenKey", "apiKey"})


class Ledger:
    """Numbered entries in memory (the newest `MEMORY_ENTRIES`) and, when given, in a file."""

    def __init__(self, path: Path | None = None) -> None:
        self.last_sequence = 0
        self._entries: deque[Entry] = deque(maxlen=MEMORY_ENTRIES)
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8", buffering=1)

    def append(self, kind: str, at_ns: int, **fields: Any) -> Entry:
        """Add an entry; `at_ns` is the venue's clock. Returns it with its sequence number."""
        self.last_sequence += 1
        entry: Entry = {"seq": self.last_sequence, "kind": kind, "atNs": at_ns, **fields}
        self._entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry).decode() + "\n")
        return entry

    def since(self, sequence: int = 0, *, kind: str | None = None) -> list[Entry]:
        """Return the entries after `sequence`, oldest first."""
        return [
            entry
            for entry in self._entries
            if entry["seq"] > sequence and (kind is None or entry["kind"] == kind)
        ]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def safe_params(params: Mapping[str, str]) -> dict[str, str]:
    """Return request parameters without what signs or opens anything."""
    return {name: value for name, value in params.items() if name not in HIDDEN_PARAMS}
