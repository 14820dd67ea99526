"""The dialect: integer operators on quantised tensors, one file per family (see docs/architecture.md).

Importing this package registers every operator, with TVM and in the table of `registry`. A family is a module
of this folder; adding one needs no edit here.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from .registry import Operator, call, operator, operator_of, operators

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Operator", "call", "operator", "operator_of", "operators"]
