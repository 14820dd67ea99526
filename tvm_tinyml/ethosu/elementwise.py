"""ELEMENTWISE: functions of one or two operands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.arithmetic import scale, shift_half_up
from tvm_tinyml.ethosu.feature_map import FeatureMap, output_map
from tvm_tinyml.ethosu.memory import Memory
from tvm_tinyml.ethosu.output import (
    finish,
    global_scale,
    has_global_scale,
    multiplier_and_shift,
    rounding_mode,
)
from tvm_tinyml.ethosu.registers import Elementwise, OperandScaling, Register, Rounding, WideRegister
from tvm_tinyml.ethosu.stream import Hardware, Operation

_BROADCAST_H, _BROADCAST_W, _BROADCAST_C, _REVERSED, _SCALAR = 1, 2, 4, 0x40, 0x80
_UNARY = (Elementwise.LRELU, Elementwise.ABS, Elementwise.CLZ)


def elementwise(operation: Operation, memory: Memory, hardware: Hardware) -> None:
    """One elementwise operation."""
    if operation.parameter not in list(Elementwise):
        raise operation.error(f"has an unknown kind, {operation.parameter}")
    kind, output = Elementwise(operation.parameter), output_map(operation)
    if operation.get(Register.IFM_UPSCALE):
        raise operation.error("upscales its input, which the functional model does not know")
    source = FeatureMap(operation, "IFM", output.height, output.width, output.depth)
    first = source.read(memory) - source.zero_point
    if kind in _UNARY:
        results = _unary(operation, kind, first)
    else:
        second = _second(operation, memory, output)
        if operation.get(Register.IFM2_BROADCAST) & _REVERSED:
            first, second = second, first
        results = _binary(operation, kind, source, first, second)
    finish(memory, output, results)


def _second(operation: Operation, memory: Memory, output: FeatureMap) -> NDArray[np.int64]:
    """The second operand less its zero point, broadcast along the axes that it lacks."""
    broadcast = operation.get(Register.IFM2_BROADCAST)
    height, width, depth = (
        1 if broadcast & bit else extent
        for bit, extent in (
            (_BROADCAST_H, output.height),
            (_BROADCAST_W, output.width),
            (_BROADCAST_C, output.depth),
        )
    )
    source = FeatureMap(operation, "IFM2", height, width, depth)
    if broadcast & _SCALAR:
        register = Register.IFM2_SCALAR
        value = operation.signed(register) if source.precision & 1 else operation.get(register)
        return np.full((1, 1, 1), value - source.zero_point, np.int64)
    return source.read(memory) - source.zero_point


def _unary(operation: Operation, kind: Elementwise, values: NDArray[np.int64]) -> NDArray[np.int64]:
    if kind == Elementwise.CLZ:
        return np.where(values < 0, 0, 32 - np.frexp(np.maximum(values, 0))[1])
    if kind == Elementwise.ABS:
        return global_scale(operation, np.abs(values))
    return np.where(values < 0, global_scale(operation, values), values)


def _binary(
    operation: Operation,
    kind: Elementwise,
    source: FeatureMap,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> NDArray[np.int64]:
    if kind == Elementwise.MIN:
        return np.minimum(first, second)
    if kind == Elementwise.MAX:
        return np.maximum(first, second)
    if kind in (Elementwise.SHL, Elementwise.SHR) and not (second.min() >= 0 and second.max() < 32):
        raise operation.error("shifts by less than 0 or more than 31")
    if kind == Elementwise.SHL:
        return first << second
    if kind == Elementwise.SHR:
        natural = rounding_mode(operation) == Rounding.NATURAL
        return shift_half_up(first, np.broadcast_to(second, first.shape)) if natural else first >> second
    if not has_global_scale(operation):
        raise operation.error("has no global scale, which the functional model does not know")
    if kind == Elementwise.MUL:
        if source.dtype.itemsize == 4:
            # Products of words are only shifted.
            _, shift = multiplier_and_shift(operation, WideRegister.OFM_SCALE)
            return scale(first * second, 1, shift, rounding_mode(operation))
        return global_scale(operation, first * second)
    if source.dtype.itemsize < 4:
        first, second = _scaled_operands(operation, source, first, second)
    sums = first + second if kind == Elementwise.ADD else first - second
    return global_scale(operation, sums)


def _scaled_operands(
    operation: Operation, source: FeatureMap, first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Operands of a sum on a common scale.

    Either both are multiplied by 16 bits, or one, with the smaller scale, by a fixed-point number after a shift that
    leaves room for a fraction; the other one then is shifted only, to half of that, as TFLite's ADD does.
    """
    mode = source.precision >> 8 & 3
    scale_a, shift_a = multiplier_and_shift(operation, WideRegister.OPA_SCALE)
    if mode == OperandScaling.BOTH_16_BITS:
        scale_b, _ = multiplier_and_shift(operation, WideRegister.OPB_SCALE)
        return first * (scale_a & 0xFFFF), second * (scale_b & 0xFFFF)
    if mode not in list(OperandScaling):
        raise operation.error(f"has an unknown scaling of operands, {mode}")
    fraction = 20 if source.dtype.itemsize == 1 else 15
    scaled, shifted = (first, second) if mode == OperandScaling.FIRST_32_BITS else (second, first)
    scaled = scale(scaled << fraction, scale_a, shift_a + fraction, Rounding.TFL)
    shifted = shifted << (fraction - 1)
    return (scaled, shifted) if mode == OperandScaling.FIRST_32_BITS else (shifted, scaled)
