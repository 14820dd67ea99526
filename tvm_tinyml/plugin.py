"""The `tvm.backends` entry point: TVM calls `autoload` at the end of `import tvm`.

It registers the target tags, the dialect's operators and the `tvm.relay` facade. `import tvm` must stay quick and
must never fail because of this package, so importers, code generator and runners stay behind the facade until
it is used, and every step that fails becomes a warning of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

FACADE = {"tvm.relay": "tvm_tinyml.relay", "tvm.relay.frontend": "tvm_tinyml.frontend"}


class _LazyModule(types.ModuleType):
    """A module published under another name, imported when one of its names is first used."""

    def __init__(self, name: str, source: str) -> None:
        super().__init__(name, f"{source}, imported on first use.")
        self._source = source
        # A package without a folder: `import tvm.relay.frontend` looks into sys.modules only.
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        # Inspecting tools ask every loaded module for names like __file__; that is no use of the facade.
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(self._source), name)

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self._source))


def autoload() -> None:
    """Register everything with TVM; what fails becomes a RuntimeWarning and the rest is still registered."""
    for what, register in (
        ("its target tags", _register_tags),
        ("its operators", _register_operators),
        ("tvm.relay", _publish_relay),
    ):
        _attempt(what, register)


def _attempt(what: str, register: Callable[[], None]) -> None:
    try:
        register()
    except Exception as error:  # a broken extension must not take TVM down with it
        warnings.warn(f"tvm-tinyml could not register {what}: {error}", RuntimeWarning, stacklevel=3)


def _register_tags() -> None:
    from .target import register_tags

    register_tags()


def _register_operators() -> None:
    importlib.import_module("tvm_tinyml.dialect")


def _publish_relay() -> None:
    """Publish the facade as tvm.relay, unless this TVM has a module of that name."""
    import tvm

    if hasattr(tvm, "relay") or importlib.util.find_spec("tvm.relay") is not None:
        return
    for name, source in FACADE.items():
        sys.modules[name] = _LazyModule(name, source)
    tvm.relay = sys.modules["tvm.relay"]
