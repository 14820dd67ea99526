"""POOL: maximum, average, and the sum over channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.arithmetic import scale
from tvm_tinyml.ethosu.feature_map import FeatureMap, output_map
from tvm_tinyml.ethosu.kernel import Kernel, read_kernel
from tvm_tinyml.ethosu.memory import Memory
from tvm_tinyml.ethosu.output import finish, global_scale, has_global_scale, rounding_mode
from tvm_tinyml.ethosu.registers import Pooling
from tvm_tinyml.ethosu.stream import Hardware, Operation
from tvm_tinyml.ethosu.windows import padded_input

_BELOW_EVERY_INPUT = -(1 << 40)


def pool(operation: Operation, memory: Memory, hardware: Hardware) -> None:
    """One pooling operation."""
    kernel, output = read_kernel(operation), output_map(operation)
    if operation.parameter not in list(Pooling):
        raise operation.error(f"has an unknown kind, {operation.parameter}")
    kind = Pooling(operation.parameter)
    border = _BELOW_EVERY_INPUT if kind == Pooling.MAX else 0
    padded, source = padded_input(memory, kernel, output, border)
    channels = 1 if kind == Pooling.REDUCE_SUM else source.depth
    if output.depth != channels:
        raise operation.error(f"has {source.depth} input channels and {output.depth} output channels")
    seen = [
        kernel.window(padded, row, column, output.height, output.width)
        for row in range(kernel.height)
        for column in range(kernel.width)
    ]
    if kind == Pooling.MAX:
        results = np.maximum.reduce(seen)
    elif kind == Pooling.AVERAGE:
        results = np.add.reduce(seen)
    else:
        results = np.add.reduce(seen).sum(axis=2, keepdims=True)
    if kind == Pooling.AVERAGE and kernel.is_padded:
        multipliers, shifts = _reciprocals(_counts(kernel, output, padded.shape[2]))
        results = scale(results, multipliers, shifts, rounding_mode(operation))
    if has_global_scale(operation):
        results = global_scale(operation, results)
    finish(memory, output, results)


def _counts(kernel: Kernel, output: FeatureMap, channels: int) -> NDArray[np.int64]:
    """How many pixels of the image each window of a padded average covers: (height, width, channels)."""
    inside = kernel.padded(
        np.ones((*kernel.input_extent(output.height, output.width), channels), np.int64), 0
    )
    counts: NDArray[np.int64] = np.add.reduce(
        [
            kernel.window(inside, row, column, output.height, output.width)
            for row in range(kernel.height)
            for column in range(kernel.width)
        ]
    )
    return counts


def _reciprocals(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Multiplier and shift that divide by the number of inputs, as the hardware makes them for padded windows."""
    bits = np.frexp(counts - 1)[1].astype(np.int64)
    return ((1 << (31 + bits)) + (1 << bits)) // counts, 31 + bits
