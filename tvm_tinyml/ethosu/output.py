"""What every operation does with its results: zero point, limits, a lookup table, and the store."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.arithmetic import scale, shift_half_up
from tvm_tinyml.ethosu.feature_map import FeatureMap
from tvm_tinyml.ethosu.memory import Memory
from tvm_tinyml.ethosu.registers import Register, Rounding, WideRegister
from tvm_tinyml.ethosu.stream import Operation

_GLOBAL_SCALE = 1 << 8
_FIRST_TABLE, _TABLES = 16, 8
_SEGMENT_BITS = 7
_CLIP_TO_OUTPUT, _CLIP_TO_INT8 = 0, 3


def rounding_mode(operation: Operation) -> Rounding:
    """How the results of an operation are rounded."""
    mode = operation.get(Register.OFM_PRECISION) >> 14 & 3
    if mode not in list(Rounding):
        raise operation.error(f"has an unknown rounding mode, {mode}")
    return Rounding(mode)


def has_global_scale(operation: Operation) -> bool:
    """Whether OFM_SCALE holds for all channels, and no table of channels is read."""
    return bool(operation.get(Register.OFM_PRECISION) & _GLOBAL_SCALE)


def multiplier_and_shift(operation: Operation, register: WideRegister) -> tuple[int, int]:
    """A scale register: 32 bits of multiplier and a shift to the right."""
    value = operation.get(register)
    return value & 0xFFFFFFFF, value >> 32 & 0x3F


def global_scale(operation: Operation, sums: NDArray[np.int64]) -> NDArray[np.int64]:
    """Results with OFM_SCALE applied."""
    return scale(sums, *multiplier_and_shift(operation, WideRegister.OFM_SCALE), rounding_mode(operation))


def finish(memory: Memory, output: FeatureMap, scaled: NDArray[np.int64]) -> None:
    """Adds the zero point of the output, applies limits and a table, and stores the results."""
    operation = output.operation
    activation = operation.get(Register.ACTIVATION)
    function, clip = activation & 0xFFF, activation >> 12
    if clip not in (_CLIP_TO_OUTPUT, _CLIP_TO_INT8):
        raise operation.error(f"limits results to range {clip}, which the functional model does not know")
    results = scaled + output.zero_point
    if output.dtype.itemsize < 4 or clip == _CLIP_TO_INT8:
        low, high = _limits(operation, output, clip)
        results = np.clip(results, low, high)
    if function:
        results = _looked_up(memory, output, results, function)
    elif output.dtype.itemsize == 4:
        limits = np.iinfo(np.int32)
        results = np.clip(results, limits.min, limits.max)
    output.write(memory, results)


def _limits(operation: Operation, output: FeatureMap, clip: int) -> tuple[int, int]:
    kind = np.iinfo(np.int8 if clip == _CLIP_TO_INT8 else output.dtype)
    if kind.min == 0:
        low, high = operation.get(Register.ACTIVATION_MIN), operation.get(Register.ACTIVATION_MAX)
    else:
        low, high = operation.signed(Register.ACTIVATION_MIN), operation.signed(Register.ACTIVATION_MAX)
    return max(low, kind.min), min(high, kind.max)


def _looked_up(
    memory: Memory, output: FeatureMap, results: NDArray[np.int64], function: int
) -> NDArray[np.int64]:
    """Results replaced by entries of a table of 256 bytes or words, or interpolated in one of 512 segments."""
    operation = output.operation
    if not _FIRST_TABLE <= function < _FIRST_TABLE + _TABLES:
        raise operation.error(f"asks for activation {function}, which the functional model does not know")
    index = function - _FIRST_TABLE
    if output.dtype == np.int16:
        table = memory.table(operation, index, 512, "<i4")
        segments = table[(results >> _SEGMENT_BITS) + 256]
        slopes, bases = segments >> 16, (segments & 0xFFFF ^ 0x8000) - 0x8000
        steps = slopes * (results & (1 << _SEGMENT_BITS) - 1)
        interpolated: NDArray[np.int64] = bases + shift_half_up(steps, np.full_like(steps, _SEGMENT_BITS))
        return interpolated
    table = memory.table(operation, index, 256, output.dtype.str)
    first = np.iinfo(np.int8).min if output.precision & 1 else 0
    return table[results - first]
