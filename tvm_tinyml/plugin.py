"""The `tvm.backends` entry point: called by TVM at the end of `import tvm`.

Registers the target tags, the dialect's operators and the `tvm.relay` facade. It must be quick and must
never break `import tvm`, so everything heavy stays behind the facade until it is used.
"""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from typing import Any


class _LazyRelay(types.ModuleType):
    """`tvm.relay`, imported from tvm_tinyml on first use."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        facade = importlib.import_module("tvm_tinyml.relay")
        self.__dict__.update({key: getattr(facade, key) for key in (*facade.__all__, "__all__", "__doc__")})
        return getattr(facade, name)


def autoload() -> None:
    """Register tags, operators and the facade; a failure becomes a warning."""
    try:
        _register()
    except Exception as error:  # noqa: BLE001 - a broken extension must not take TVM down with it
        warnings.warn(f"tvm-tinyml could not register itself with TVM: {error}", RuntimeWarning, stacklevel=2)


def _register() -> None:
    import tvm

    from .target import register_tags

    register_tags()
    importlib.import_module("tvm_tinyml.dialect")
    if not hasattr(tvm, "relay") and "tvm.relay" not in sys.modules:
        facade = _LazyRelay("tvm.relay")
        sys.modules["tvm.relay"] = facade
        tvm.relay = facade
