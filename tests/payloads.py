"""Recorded and documented payloads of the venues, kept beside the repository (data only)."""

import json
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).resolve().parents[2] / "shared" / "reference" / "payloads"


def payload(venue: str, file: str) -> Any:
    """Return one file of samples; skips the test, or the module, where there are none."""
    path = HOME / venue / f"{file}.json"
    if not path.exists():
        pytest.skip("the venues' payloads are not here", allow_module_level=True)
    return json.loads(path.read_text(encoding="utf-8"))
