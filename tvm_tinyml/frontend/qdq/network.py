"""A quantised network as exporters write it: float operators between QuantizeLinear and DequantizeLinear.

Kinds, attributes and the order of dimensions (NCHW) are those of ONNX operators; a frontend for another format
translates its operators to these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Value:
    """One value; `data` is the contents of a constant."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: Array | None = None

    def __str__(self) -> str:
        return f"'{self.name}' ({self.dtype}{list(self.shape)})"

    @classmethod
    def constant(cls, name: str, data: Array) -> Value:
        """A constant with its contents."""
        return cls(name, tuple(data.shape), str(np.dtype(data.dtype)), data)


@dataclass(frozen=True, eq=False)
class Call:
    """One operator; `inputs` that are omitted are None.

    refusal: why it cannot be told in ONNX's terms, empty when it can.
    """

    index: int
    kind: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    attrs: Mapping[str, Any]
    refusal: str = ""

    def __str__(self) -> str:
        target = f"'{self.outputs[0].name}'" if self.outputs else "nothing"
        return f"operator {self.index} {self.kind} -> {target}"

    def input(self, position: int) -> Value | None:
        """An input, None when it is omitted."""
        return self.inputs[position] if position < len(self.inputs) else None


@dataclass(frozen=True)
class Network:
    """Calls in an order in which every value is made before it is read.

    source: what error messages call the model. name: a C identifier.
    """

    source: str
    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    calls: tuple[Call, ...]

    @cached_property
    def readers(self) -> Mapping[Value, tuple[Call, ...]]:
        """Calls that read a value, in order; a call that reads it twice is there twice."""
        found: dict[Value, list[Call]] = {}
        for call in self.calls:
            for value in call.inputs:
                if value is not None:
                    found.setdefault(value, []).append(call)
        return {value: tuple(calls) for value, calls in found.items()}
