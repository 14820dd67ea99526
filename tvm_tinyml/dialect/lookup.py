"""Unary functions on int8 as tables of 256 entries: `lookup`, and `table`, which makes the tables.

Every int8 function of one int8 element is a table indexed by the element plus 128, whatever its arithmetic:
float for logistic and tanh, fixed point for the others. The entries are those of LiteRT's reference kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bounds import InputBounds, elementwise, whole
from .broadcasting import compute_elementwise
from .fixed_point import (
    INT32_MAX,
    doubling_high_multiply_16,
    quantize_multiplier,
    requantize,
    rounding_shift_right,
)
from .registry import Operator, by_element, register
from .relax_api import Array, Attrs, TensorSpec

ENTRIES = 256
INT8_MIN, INT8_MAX = -128, 127
INT16_MIN, INT16_MAX = -(2**15), 2**15 - 1


@dataclass(frozen=True)
class _Quantization:
    """Scales (single precision) and zero points of a table's input and output."""

    input_scale: np.float32
    input_zero_point: int
    output_scale: np.float32
    output_zero_point: int

    @property
    def centred(self) -> Array:
        """All inputs in order, minus their zero point."""
        return np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64) - self.input_zero_point

    def steps(self, value: float) -> int:
        """Distance of a real value from the output's zero point, in quantisation steps."""
        return int(_round_half_away(np.float32(value) / self.output_scale))

    def scaled(self, factor: float = 1.0) -> Array:
        """Output steps of `factor` times the input; the ratio is formed in single precision."""
        ratio = float(np.float32(self.input_scale * np.float32(factor)) / self.output_scale)
        multiplier, shift = quantize_multiplier(abs(ratio))
        return int(math.copysign(1, ratio)) * requantize(self.centred, multiplier, shift, "double")


def table(
    function: str,
    input_scale: float,
    input_zero_point: int,
    output_scale: float,
    output_zero_point: int,
    **extra: float,
) -> Array:
    """Table int8[256] of `function`; entry `x + 128` is the output for input `x`.

    function: "logistic", "tanh", "relu", "relu6", "relu_n1_to_1", "hard_swish" or "leaky_relu", which takes
    the extra parameter `alpha`.
    Raises ValueError for another function and for scales the function cannot be computed with.
    """
    if function not in _FUNCTIONS:
        raise ValueError(f"no table for {function!r}, known are {', '.join(sorted(_FUNCTIONS))}")
    quantization = _Quantization(
        np.float32(input_scale), input_zero_point, np.float32(output_scale), output_zero_point
    )
    entries = _FUNCTIONS[function](quantization, **extra)
    return np.asarray(np.clip(entries, INT8_MIN, INT8_MAX), np.int8)


def _round_half_away(x: Any) -> Any:
    wide = np.asarray(x, np.float64)
    return np.copysign(np.floor(np.abs(wide) + 0.5), wide)


def _from_real(function: Callable[[Array], Array]) -> Callable[[_Quantization], Array]:
    """Entries of a real function: evaluated in single precision on the dequantised input, then quantised."""

    def entries(q: _Quantization) -> Array:
        with np.errstate(over="ignore"):
            values = function(q.input_scale * q.centred.astype(np.float32)).astype(np.float32)
            steps = _round_half_away(values * (np.float32(1) / q.output_scale)) + q.output_zero_point
        clipped: Array = np.clip(steps, INT8_MIN, INT8_MAX)
        return clipped

    return entries


def _logistic(x: Array) -> Array:
    exponential = np.exp(-x.astype(np.float64)).astype(np.float32)
    result: Array = np.float32(1) / (np.float32(1) + exponential)
    return result


def _tanh(x: Array) -> Array:
    result: Array = np.tanh(x.astype(np.float64)).astype(np.float32)
    return result


def _relu(lowest: float, highest: float | None) -> Callable[[_Quantization], Array]:
    """Entries of a clamp to [lowest, highest]; None leaves the upper end open."""

    def entries(q: _Quantization) -> Array:
        low = max(INT8_MIN, q.output_zero_point + q.steps(lowest))
        high = INT8_MAX if highest is None else min(INT8_MAX, q.output_zero_point + q.steps(highest))
        clamped: Array = np.minimum(np.maximum(q.scaled() + q.output_zero_point, low), high)
        return clamped

    return entries


def _leaky_relu(q: _Quantization, *, alpha: float) -> Array:
    return np.where(q.centred >= 0, q.scaled(), q.scaled(alpha)) + q.output_zero_point


def _hard_swish(q: _Quantization) -> Array:
    """x * relu6(x + 3) / 6 in 16-bit fixed point, with the input shifted left by seven bits."""
    fine_scale = np.float32(1 / 128) * q.input_scale
    output_multiplier, output_shift = _multiplier_16(fine_scale / q.output_scale)
    gate_multiplier, gate_shift = _multiplier_16(fine_scale / np.float32(3 / 32768))
    if output_shift > 0:
        raise ValueError(f"hard_swish needs an output scale above 1/128 of its input scale {q.input_scale}")
    fine = q.centred << 7
    # The gate is x / 3 saturated to [-1, 1]; the last bit of a left shift comes after the multiplication, so
    # that no saturation before it can show.
    gate = fine
    if gate_shift > 0:
        gate = np.clip(gate << (gate_shift - 1), INT16_MIN, INT16_MAX)
    gate = doubling_high_multiply_16(gate, gate_multiplier)
    if gate_shift > 0:
        gate = np.clip(gate << 1, INT16_MIN, INT16_MAX)
    gate = rounding_shift_right(gate, max(0, -gate_shift))
    unit_gate = (gate + (1 << 15)) >> 1
    product = unit_gate * doubling_high_multiply_16(fine, output_multiplier)
    truncated = np.sign(product) * (np.abs(product) >> 15)
    return rounding_shift_right(truncated, -output_shift) + q.output_zero_point


def _multiplier_16(real: np.float32) -> tuple[int, int]:
    """Split `real` into a multiplier of 15 fractional bits and a shift."""
    multiplier, shift = quantize_multiplier(float(real))
    return (multiplier + (1 << 15)) >> 16 if multiplier < INT32_MAX - (1 << 15) else INT16_MAX, shift


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "logistic": _from_real(_logistic),
    "tanh": _from_real(_tanh),
    "relu": _relu(0.0, None),
    "relu6": _relu(0.0, 6.0),
    "relu_n1_to_1": _relu(-1.0, 1.0),
    "leaky_relu": _leaky_relu,
    "hard_swish": _hard_swish,
}


def _infer(inputs: Sequence[TensorSpec], _attrs: Attrs) -> TensorSpec:
    data, entries = inputs
    if data.dtype != "int8" or entries != TensorSpec((ENTRIES,), "int8"):
        raise ValueError(
            f"lookup needs int8 data and a table int8[{ENTRIES}], "
            f"found {data.dtype} and {entries.dtype}{list(entries.shape)}"
        )
    return TensorSpec(data.shape, "int8")


def _reference(arrays: Sequence[Array], _attrs: Attrs) -> Array:
    data, entries = arrays
    return np.asarray(entries[data.astype(np.int32) - INT8_MIN])


def _compute(tensors: Sequence[Any], _attrs: Attrs) -> Any:
    """Function of one element, read from a table."""
    data, entries = tensors
    return compute_elementwise([data], lambda x: entries[x.astype("int32") - INT8_MIN], "lookup")


def _bounds(inputs: Sequence[TensorSpec], _attrs: Attrs) -> tuple[InputBounds, ...]:
    return (elementwise(inputs[0].shape, len(inputs[0].shape)), whole(1))


register(
    Operator(
        name="lookup",
        inputs=("data", "table"),
        infer=_infer,
        reference=_reference,
        compute=_compute,
        bounds=_bounds,
        transposed=by_element,
    )
)
