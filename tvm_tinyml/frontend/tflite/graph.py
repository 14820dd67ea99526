"""A TFLite graph as plain values: what the reader hands to the converters.

Field meanings follow the published TensorFlow Lite schema (version 3). Nothing here refers to the file's
bytes except the constants, which are read-only views of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
OptionValue: TypeAlias = int | float | bool | tuple[int, ...]

# Element types with a fixed size in memory; the others (int4, float16, string, ...) are known by name only.
ITEM_BYTES = {"float32": 4, "int32": 4, "uint8": 1, "int64": 8, "bool": 1, "int16": 2, "int8": 1}
DYNAMIC_EXTENT = -1


@dataclass(frozen=True)
class Quantization:
    """Affine quantisation, real = scale * (q - zero_point); one entry, or one per index of `axis`."""

    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int64]
    axis: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of the graph.

    name: unique within the graph.
    shape: as stored; an extent below 1 is dynamic or empty.
    signature: the shape with -1 for extents that may change, or None.
    dtype: lower-case name of the schema's TensorType.
    data: the contents of a constant, in `shape` for the element types of ITEM_BYTES; otherwise None.
    obstacle: why no operator can use the tensor ("sparse", ...), or empty.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...] | None
    dtype: str
    quantization: Quantization | None
    data: Array | None
    obstacle: str = ""

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def is_constant(self) -> bool:
        """True when the file holds the tensor's contents."""
        return self.data is not None

    @property
    def is_static(self) -> bool:
        """True when every extent is known; a batch of one may be declared variable."""
        if any(extent < 1 for extent in self.shape):
            return False
        signature = self.signature or self.shape
        return DYNAMIC_EXTENT not in (signature[1:] if self.shape[:1] == (1,) else signature)

    @property
    def is_empty_list(self) -> bool:
        """True for an int32 or int64 list without elements, which the file cannot mark as constant."""
        return self.shape == (0,) and self.dtype in ("int32", "int64")

    @property
    def is_quantized(self) -> bool:
        """True when one scale and zero point hold for the whole tensor."""
        return self.quantization is not None and len(self.quantization.scales) == 1

    @property
    def scale(self) -> float:
        """Scale of a tensor quantised as a whole, exactly as stored; 0.0 otherwise."""
        if self.quantization is None or not self.is_quantized:
            return 0.0
        return float(self.quantization.scales[0])

    @property
    def zero_point(self) -> int:
        """Zero point of a tensor quantised as a whole; 0 otherwise."""
        if self.quantization is None or not self.is_quantized:
            return 0
        return int(self.quantization.zero_points[0])

    def __str__(self) -> str:
        return f"'{self.name}' ({self.dtype}{list(self.shape)})"


@dataclass(frozen=True)
class Operator:
    """One operator: its kind ("CONV_2D", "CUSTOM(name)", ...), tensors (None: omitted) and options."""

    index: int
    kind: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, OptionValue]

    def __str__(self) -> str:
        target = f"'{self.outputs[0].name}'" if self.outputs else "nothing"
        return f"operator {self.index} {self.kind} -> {target}"


@dataclass(frozen=True)
class Graph:
    """The first subgraph of a model file.

    source: what error messages call the file.
    subgraphs: number of subgraphs in the file.
    """

    source: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    subgraphs: int
