"""One exchange class is imported without the hundred others, and without breaking ccxt."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from markets.venues.ccxt_classes import exchange_class
lean = exchange_class("binanceusdm")
alone = sum(name.startswith("ccxt.") for name in sys.modules)
described = lean({}).describe()["id"]
import ccxt.async_support as whole
print(json.dumps([alone, described, whole.binanceusdm is lean, len(whole.exchanges) > 50]))
"""


def test_one_class_is_loaded_alone_and_the_whole_library_still_imports() -> None:
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    alone, described, is_same_class, has_all = json.loads(output)
    assert alone < 40
    assert described == "binanceusdm"
    assert is_same_class
    assert has_all
