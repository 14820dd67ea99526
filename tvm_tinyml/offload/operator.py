"""`ethosu`: one network on an Ethos-U, from its inputs to the block of memory that it worked in.

The block holds tensors of the network and, in the end, its outputs, at places that Vela chose. Bytes of memory are int8
elements here. The inputs are moved into the block first, so that one that nothing else reads may lie in it before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from ..dialect.bounds import InputBounds, whole
from ..dialect.registry import Operator, register
from ..dialect.relax_api import Array, Attrs, TensorSpec
from ..ethosu import run

NAME = "ethosu"
_CONSTANTS = 2
_SCRATCH_REGION = 1


def _infer(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    block = attrs["scratch_bytes"] + attrs["fast_bytes"]
    places = attrs["input_places"]
    if len(places) != len(inputs) - _CONSTANTS:
        raise ValueError(f"ethosu has places for {len(places)} inputs and {len(inputs) - _CONSTANTS} inputs")
    for spec, place in zip(inputs[_CONSTANTS:], places, strict=True):
        if not 0 <= place <= block - spec.nbytes:
            raise ValueError(f"ethosu: an input of {spec.nbytes} bytes at {place} leaves a block of {block}")
    return TensorSpec((block,), "int8")


def _reference(arrays: Sequence[Array], attrs: Attrs) -> Array:
    payload, weights, *inputs = arrays
    memory = np.zeros(attrs["scratch_bytes"] + attrs["fast_bytes"], np.uint8)
    for value, place in zip(inputs, attrs["input_places"], strict=True):
        memory[place : place + value.nbytes] = np.frombuffer(value.tobytes(), np.uint8)
    scratch, fast = memory[: attrs["scratch_bytes"]], memory[attrs["scratch_bytes"] :]
    regions = {attrs["weight_region"]: weights.view(np.uint8).copy(), _SCRATCH_REGION: scratch}
    if fast.size:
        regions[attrs["fast_region"]] = fast
    run(payload.tobytes(), regions)
    return memory.view(np.int8)


def _compute(_tensors: Sequence[Any], _attrs: Attrs) -> NoReturn:
    """A network on an Ethos-U has no loops; `Lowering` asks for none of operators that are `on_device`."""
    raise RuntimeError(
        "a network on an NPU has no TensorIR: only the lowering of operators on devices may ask for it"
    )


def _bounds(inputs: Sequence[TensorSpec], _attrs: Attrs) -> tuple[InputBounds, ...]:
    return tuple(whole(len(spec.shape)) for spec in inputs)


register(
    Operator(
        name=NAME,
        inputs=("payload", "weights", "input", "..."),
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
        macs=lambda _inputs, attrs: int(attrs["macs"]),
        on_device=True,
    )
)
