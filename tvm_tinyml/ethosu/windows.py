"""Inputs of operations with windows: the pixels that the outputs read, with padding, as numbers without zero point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.feature_map import FeatureMap
from tvm_tinyml.ethosu.kernel import Kernel, upscale
from tvm_tinyml.ethosu.memory import Memory
from tvm_tinyml.ethosu.registers import Register, Upscale


def padded_input(
    memory: Memory, kernel: Kernel, output: FeatureMap, border: int
) -> tuple[NDArray[np.int64], FeatureMap]:
    """The input less its zero point as (height, width, depth) with `border` around it, and where it lies."""
    operation = output.operation
    height, width = kernel.input_extent(output.height, output.width)
    factor = 1 if operation.get(Register.IFM_UPSCALE) == Upscale.NONE else 2
    depth = operation.get(Register.IFM_DEPTH_M1) + 1
    source = FeatureMap(operation, "IFM", -(-height // factor), -(-width // factor), depth)
    pixels = source.read(memory) - source.zero_point
    return kernel.padded(upscale(operation, pixels, 0)[:height, :width], border), source
