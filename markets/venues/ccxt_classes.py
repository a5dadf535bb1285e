"""ccxt's exchange classes, one at a time.

Importing ccxt's package root imports every exchange it knows: 3.5 s of CPU and 109 MB in each
process, where one class needs 0.8 s and 60 MB. The root packages are therefore stood in for
while the one class is imported, and taken away again, so that a later `import ccxt` by anybody
else still gets the whole library (and the same classes).
"""

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_ROOTS: Final = ("ccxt", "ccxt.async_support")


@cache
def exchange_class(name: str) -> type[Any]:
    """Return ccxt's asynchronous class of this name; raises ImportError when there is none."""
    if "ccxt" in sys.modules:
        return _class(name)
    spec = importlib.util.find_spec("ccxt")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("ccxt is not installed")
    home = Path(spec.submodule_search_locations[0])
    for root in _ROOTS:
        stand_in = ModuleType(root)
        stand_in.__path__ = [str(home.joinpath(*root.split(".")[1:]))]
        sys.modules[root] = stand_in
    try:
        _fill(sys.modules["ccxt"])
        return _class(name)
    finally:
        for root in _ROOTS:
            del sys.modules[root]


def _fill(root: ModuleType) -> None:
    # What ccxt's own modules take from the package root.
    errors = importlib.import_module("ccxt.base.errors")
    vars(root).update({key: value for key, value in vars(errors).items() if key[0] != "_"})
    root.__dict__["Exchange"] = importlib.import_module("ccxt.base.exchange").Exchange


def _class(name: str) -> type[Any]:
    module = importlib.import_module(f"ccxt.async_support.{name}")
    found: type[Any] = getattr(module, name)
    return found
