"""C functions that have an Ethos-U compute a network, through the interface of Arm's driver.

The commands and weights are constants, the network's memory is one block of the arena. See
`runtime_c/include/tinyml_npu.h` for the calls of the driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tvm_tinyml.dialect.relax_api import Array, TensorSpec
from tvm_tinyml.memory import InPlace

from .constants import c_type
from .tensorir import CFunction

NPU_HEADER = "tinyml_npu.h"
DEVICE_CALL_BYTES = 120
"""Estimated code of a call."""


def device_inplace(
    attrs: Mapping[str, Any], inputs: Sequence[str], block: str, tensors: Mapping[str, Any]
) -> tuple[InPlace, ...]:
    """Permission for the largest input to lie in the block before the call.

    It is moved to its place first and front to back, so it must not lie before that place.
    """
    if not inputs:
        return ()
    number = _first(attrs, [tensors[name].spec for name in inputs])
    return (InPlace(inputs[number], block, attrs["input_places"][number]),)


def device_function(
    symbol: str, attrs: Mapping[str, Any], inputs: Sequence[TensorSpec], constants: Mapping[str, Array]
) -> CFunction:
    """The function of one network; parameters are payload, weights, inputs and the block.

    It returns 0, or what the driver returned instead, or TINYML_NPU_ABSENT where there is no driver to be had.
    """
    parameters = [f"const {c_type(spec.dtype)} *input_{number}" for number, spec in enumerate(inputs)]
    every = ", ".join(["const uint8_t *payload", "const uint8_t *weights", *parameters, "int8_t *block"])
    signature = f"int {symbol}({every})"
    first = _first(attrs, inputs) if inputs else 0
    order = sorted(range(len(inputs)), key=lambda number: number != first)
    moves = [
        f"    tinyml_npu_move(block + {attrs['input_places'][number]}, input_{number}, {inputs[number].nbytes});"
        for number in order
    ]
    payload, weights = constants["payload"], constants["weights"]
    call = (
        f"    return tinyml_npu_run(payload, {payload.nbytes}, weights, {weights.nbytes}, block, "
        f"{attrs['scratch_bytes']}, {attrs['fast_bytes']});"
    )
    return CFunction(symbol, signature, "\n".join(["{", *moves, call, "}"]))


def _first(attrs: Mapping[str, Any], inputs: Sequence[TensorSpec]) -> int:
    """The input that may lie in the block."""
    return max(range(len(inputs)), key=lambda number: inputs[number].nbytes)
