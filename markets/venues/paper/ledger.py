"""The paper venue's ledger: what happened, in the order it happened, with the venue's own clock.

It is the truth that an oracle compares with our database. Append-only, JSON lines; no secret and
no signature is ever written.

What the file keeps: each line is handed to the operating system before the entry's act is answered
or told to anybody, so a kill -9 of the venue loses at most a line half written, which is cut off
when the file is opened again. It is not synced to the disk: a crash of the host may lose more. A
venue started again with its file goes on with the same sequence.
"""

from collections import deque
from collections.abc import Mapping
from io import RawIOBase
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

Entry = dict[str, Any]

MEMORY_ENTRIES: Final = 200_000
HIDDEN_PARAMS: Final = frozenset({"signature", "listenKey", "apiKey"})


class Ledger:
    """Numbered entries in memory (the newest `MEMORY_ENTRIES`) and, when given, in a file."""

    def __init__(self, path: Path | None = None) -> None:
        self.last_sequence = 0
        self._entries: deque[Entry] = deque(maxlen=MEMORY_ENTRIES)
        self._file: RawIOBase | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._entries.extend(recovered_ledger(path))
            if self._entries:
                self.last_sequence = self._entries[-1]["seq"]
            self._file = path.open("ab", buffering=0)

    def append(self, kind: str, at_ns: int, **fields: Any) -> Entry:
        """Add an entry; `at_ns` is the venue's clock. Returns it with its sequence number."""
        self.last_sequence += 1
        entry: Entry = {"seq": self.last_sequence, "kind": kind, "atNs": at_ns, **fields}
        self._entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")
        return entry

    def since(
        self, sequence: int = 0, *, kind: str | None = None, limit: int | None = None
    ) -> list[Entry]:
        """Return the entries after `sequence`, oldest first, at most `limit`.

        Page on with the last one's sequence until nothing more comes.
        """
        first = self._entries[0]["seq"] if self._entries else 1
        rest = islice(self._entries, max(0, sequence + 1 - first), None)
        return list(islice((e for e in rest if kind in (None, e["kind"])), limit))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def recovered_ledger(path: Path) -> list[Entry]:
    """Return the entries of a ledger file and cut off a last line that was never finished."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    return [msgspec.json.decode(line) for line in whole.splitlines()[-MEMORY_ENTRIES:]]


def safe_params(params: Mapping[str, str]) -> dict[str, str]:
    """Return request parameters without what signs or opens anything."""
    return {name: value for name, value in params.items() if name not in HIDDEN_PARAMS}
