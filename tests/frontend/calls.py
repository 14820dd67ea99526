"""The dialect calls of an imported module, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tvm_tinyml.dialect import operator_of


def calls(mod: Any) -> Iterator[tuple[Any, Any]]:
    """(variable, call) of every operator in function "main", in order."""
    for block in mod["main"].body.blocks:
        for binding in block.bindings:
            if operator_of(binding.value) is not None:
                yield binding.var, binding.value
