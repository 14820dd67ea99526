"""CONV and DEPTHWISE."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.arithmetic import scale
from tvm_tinyml.ethosu.feature_map import FeatureMap, output_map
from tvm_tinyml.ethosu.kernel import Kernel, read_kernel
from tvm_tinyml.ethosu.memory import Memory
from tvm_tinyml.ethosu.output import finish, global_scale, has_global_scale, rounding_mode
from tvm_tinyml.ethosu.stream import Hardware, Operation
from tvm_tinyml.ethosu.weights import channel_parameters, weights
from tvm_tinyml.ethosu.windows import padded_input


def convolve(operation: Operation, memory: Memory, hardware: Hardware) -> None:
    """One convolution, depthwise or not, with a bias and a scale per channel."""
    kernel, output = read_kernel(operation), output_map(operation)
    padded, source = padded_input(memory, kernel, output, border=0)
    if kernel.depthwise and source.depth != output.depth:
        raise operation.error(f"has {source.depth} input channels and {output.depth} output channels")
    per_output = 1 if kernel.depthwise else source.depth
    taps = weights(operation, memory, hardware, kernel, per_output, output.depth)
    parameters = channel_parameters(operation, memory, output.depth)
    sums = _sums(kernel, output, padded, taps) + parameters.biases
    if has_global_scale(operation):
        scaled = global_scale(operation, sums)
    else:
        scaled = scale(sums, parameters.multipliers, parameters.shifts, rounding_mode(operation))
    finish(memory, output, scaled)


def _sums(
    kernel: Kernel, output: FeatureMap, padded: NDArray[np.int64], taps: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Sums of products as (height, width, channels)."""
    sums = np.zeros((output.height, output.width, output.depth))
    for row in range(kernel.height):
        for column in range(kernel.width):
            seen = kernel.window(padded, row, column, output.height, output.width)
            # Sums stay below 2**53, so that the matrix product of floats is exact, and it is much faster.
            tap = taps[:, row, column].astype(np.float64)
            sums += seen * tap[:, 0] if kernel.depthwise else seen.astype(np.float64) @ tap.T
    return sums.astype(np.int64)
