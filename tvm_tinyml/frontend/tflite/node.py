"""What a converter sees of an operator, and what it gives back.

A converter turns one `Node` into `Layer`s: calls of dialect operators on tensors of the graph, temporaries
and constants. It builds nothing in TVM, so that every operator of a model can be judged before any work is
done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ...dialect.relax_api import TensorSpec
from ...errors import ModelError
from .graph import Array, Operator, Tensor
from .reader import MAX_RANK, OptionsTable

ACTIVATION_DTYPE = "int8"
# Far beyond any quantised value, and far from where single precision overflows or loses digits.
MIN_SCALE, MAX_SCALE = 2.0**-60, 2.0**60


class RejectionError(Exception):
    """An operator outside the supported set; the message is the reason."""


@dataclass(frozen=True, eq=False)
class Temporary:
    """A tensor the file does not have, between two layers made from one operator."""

    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True)
class Layer:
    """One call of dialect operator `operator`; arrays among the inputs become constants.

    attrs: without the common attributes (name, tensor, scale, zero_point), which follow from the output.
    """

    operator: str
    inputs: tuple[Tensor | Temporary | Array, ...]
    output: Tensor | Temporary
    attrs: Mapping[str, Any]


@dataclass(frozen=True)
class Conversion:
    """How one TFLite operator is converted: a row of a family's table.

    convert: from the node to its layers; raises RejectionError.
    inputs: smallest and largest number of inputs.
    outputs: number of outputs, None for any number from one.
    options: the operator's options, when it has any.
    moves_data: elements are only moved, so that any element type will do.
    """

    convert: Callable[[Node], list[Layer]]
    inputs: tuple[int, int]
    outputs: int | None = 1
    options: OptionsTable | None = None
    moves_data: bool = False


def spec_of(value: Tensor | Array) -> TensorSpec:
    """Static type of a tensor of the file or of a constant."""
    return TensorSpec(tuple(value.shape), str(value.dtype))


def attributes_of(layer: Layer) -> dict[str, Any]:
    """Attributes of a layer with the quantisation of its output."""
    return {"scale": layer.output.scale, "zero_point": layer.output.zero_point, **layer.attrs}


class Node:
    """One operator with checked access to its tensors and options."""

    def __init__(self, operator: Operator, source: str) -> None:
        self.operator = operator
        self.source = source

    def reject(self, reason: str) -> NoReturn:
        """Refuse a well-formed operator."""
        raise RejectionError(reason)

    def malformed(self, reason: str) -> NoReturn:
        """Refuse an operator that contradicts itself."""
        raise ModelError(f"{self.source}: {self.operator}: {reason}. Export the model again.")

    def option(self, name: str) -> Any:
        """An option of the operator's table."""
        return self.operator.options[name]

    def input(self, position: int) -> Tensor:
        """A tensor the operator must have."""
        tensor = self.optional_input(position)
        if tensor is None:
            self.malformed(f"input {position} is missing")
        return tensor

    def optional_input(self, position: int) -> Tensor | None:
        """A tensor the operator may have; None when it is omitted."""
        inputs = self.operator.inputs
        return inputs[position] if position < len(inputs) else None

    def activation(self, position: int = 0, rank: int | None = None) -> Tensor:
        """An int8 operand quantised as a whole, of the given rank when one is asked for."""
        tensor = self.int8(self.input(position))
        if rank is not None and len(tensor.shape) != rank:
            self.reject(f"input {tensor} has {len(tensor.shape)} axes, supported are {rank}")
        return tensor

    def image(self, position: int = 0) -> Tensor:
        """An int8 NHWC operand with a batch of one."""
        tensor = self.activation(position, rank=4)
        if tensor.shape[0] != 1:
            self.reject(f"input {tensor} has a batch of {tensor.shape[0]}, supported is 1")
        return tensor

    def result(self, position: int = 0) -> Tensor:
        """An int8 result quantised as a whole."""
        return self.int8(self.operator.outputs[position])

    def int8(self, tensor: Tensor) -> Tensor:
        """Check that a tensor is int8 and quantised as a whole."""
        if tensor.dtype != ACTIVATION_DTYPE:
            self.reject(f"{tensor} is {tensor.dtype}, supported is {ACTIVATION_DTYPE}")
        return self.quantized(tensor)

    def quantized(self, tensor: Tensor) -> Tensor:
        """Check that a tensor has one positive scale and one zero point."""
        if not tensor.is_quantized:
            kind = "per channel" if tensor.quantization is not None else "not"
            self.reject(f"{tensor} is {kind} quantised, supported is one scale and zero point")
        if not MIN_SCALE <= tensor.scale <= MAX_SCALE:
            self.malformed(f"{tensor} has the scale {tensor.scale:g}, not in {MIN_SCALE:g} to {MAX_SCALE:g}")
        return tensor

    def constant(self, position: int, meaning: str) -> Array:
        """Contents of an operand that must be known when the model is compiled."""
        tensor = self.input(position)
        if tensor.data is None:
            self.reject(f"{meaning} {tensor} is computed by the model, supported is a constant")
        return tensor.data

    def integers(self, position: int, meaning: str, most: int = 2 * MAX_RANK) -> tuple[int, ...]:
        """Contents of a constant int32 or int64 operand of at most `most` elements, flattened."""
        tensor = self.input(position)
        if tensor.is_empty_list:
            return ()
        data = self.constant(position, meaning)
        if tensor.dtype not in ("int32", "int64"):
            self.malformed(f"{meaning} {tensor} is neither int32 nor int64")
        if data.ndim > 2 or data.size > most:
            self.malformed(f"{meaning} {tensor} has more than {most} elements")
        return tuple(int(value) for value in data.reshape(-1))

    def axis(self, value: int, rank: int) -> int:
        """A possibly negative axis made non-negative."""
        if not -rank <= value < rank:
            self.malformed(f"axis {value} does not exist in a tensor of {rank} axes")
        return value % rank

    def same_quantization(self, first: Tensor, second: Tensor) -> None:
        """Refuse operands that an operator copies between different quantisations."""
        if (first.scale, first.zero_point) != (second.scale, second.zero_point):
            self.reject(
                f"{first} and {second} are quantised differently, supported is the same scale and zero point"
            )

    def layer(
        self,
        operator: str,
        inputs: tuple[Tensor | Temporary | Array, ...],
        output: Tensor | Temporary,
        **attrs: Any,
    ) -> Layer:
        """One layer of this operator."""
        return Layer(operator, inputs, output, attrs)
