"""Changes of representation: `quantize`, `dequantize` and `requantize`.

Float tensors exist only at a model's edges. Semantics: TFLite's QUANTIZE and DEQUANTIZE. Quantising divides
in single precision and rounds half away from zero; what lies outside the type saturates and a NaN becomes
the zero point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import tirx

from .bounds import InputBounds, elementwise
from .broadcasting import compute_elementwise
from .fixed_point import requantize, requantize_expr, saturate_expr
from .registry import Operator, by_element, register
from .relax_api import Array, Attrs, TensorSpec

INTEGER_TYPES = ("int8", "uint8", "int16")


def _require(name: str, found: str, allowed: Sequence[str]) -> None:
    if found not in allowed:
        raise ValueError(f"{name} is {found}, expected one of {', '.join(allowed)}")


def _infer_quantize(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    _require("quantize's input", inputs[0].dtype, ("float32",))
    _require("quantize's output", attrs["dtype"], INTEGER_TYPES)
    return TensorSpec(inputs[0].shape, attrs["dtype"])


def _infer_dequantize(inputs: Sequence[TensorSpec], _attrs: Attrs) -> TensorSpec:
    _require("dequantize's input", inputs[0].dtype, INTEGER_TYPES)
    return TensorSpec(inputs[0].shape, "float32")


def _infer_requantize(inputs: Sequence[TensorSpec], attrs: Attrs) -> TensorSpec:
    _require("requantize's input", inputs[0].dtype, INTEGER_TYPES)
    _require("requantize's output", attrs["dtype"], INTEGER_TYPES)
    return TensorSpec(inputs[0].shape, attrs["dtype"])


def _reference_quantize(arrays: Sequence[Array], attrs: Attrs) -> Array:
    limits = np.iinfo(attrs["dtype"])
    with np.errstate(over="ignore", invalid="ignore"):
        quotient = np.nan_to_num(arrays[0] / np.float32(attrs["scale"]))
    # Beyond this the sum with any zero point saturates.
    bounded = np.clip(quotient, np.float32(-(2**17)), np.float32(2**17)).astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(bounded) + 0.5), bounded).astype(np.int64)
    return np.asarray(np.clip(rounded + attrs["zero_point"], limits.min, limits.max), attrs["dtype"])


def _reference_dequantize(arrays: Sequence[Array], attrs: Attrs) -> Array:
    centred = arrays[0].astype(np.int32) - attrs["input_zero_point"]
    return np.asarray(centred.astype(np.float32) * np.float32(attrs["input_scale"]), np.float32)


def _reference_requantize(arrays: Sequence[Array], attrs: Attrs) -> Array:
    centred = arrays[0].astype(np.int64) - attrs["input_zero_point"]
    scaled = requantize(centred, attrs["multiplier"], attrs["shift"], attrs["rounding"])
    clamped = np.clip(scaled + attrs["zero_point"], attrs["clamp_min"], attrs["clamp_max"])
    return np.asarray(clamped, attrs["dtype"])


def _float_bits(value: float) -> Any:
    """Bit pattern of `value` in single precision: a printed decimal would lose digits."""
    return tirx.const(int(np.float32(value).view(np.int32)), "int32")


def _compute_quantize(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Nearest representable integer of real values."""
    limits = np.iinfo(attrs["dtype"])
    scale = _float_bits(attrs["scale"])

    def element(x: Any) -> Any:
        rounded = tirx.call_pure_extern("int32", "tinyml_quantize", x, scale)
        return saturate_expr(rounded + attrs["zero_point"], int(limits.min), int(limits.max), attrs["dtype"])

    return compute_elementwise(tensors, element, "quantize")


def _compute_dequantize(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Real values of quantised elements."""
    scale = _float_bits(attrs["input_scale"])

    def element(x: Any) -> Any:
        centred = x.astype("int32") - attrs["input_zero_point"]
        return tirx.call_pure_extern("float32", "tinyml_dequantize", centred, scale)

    return compute_elementwise(tensors, element, "dequantize")


def _compute_requantize(tensors: Sequence[Any], attrs: Attrs) -> Any:
    """Elements under another quantisation, possibly of another integer type."""

    def element(x: Any) -> Any:
        centred = x.astype("int32") - attrs["input_zero_point"]
        scaled = requantize_expr(centred, attrs["multiplier"], attrs["shift"], attrs["rounding"])
        return saturate_expr(
            scaled + attrs["zero_point"], attrs["clamp_min"], attrs["clamp_max"], attrs["dtype"]
        )

    return compute_elementwise(tensors, element, "requantize")


def _bounds(inputs: Sequence[TensorSpec], _attrs: Attrs) -> tuple[InputBounds, ...]:
    return (elementwise(inputs[0].shape, len(inputs[0].shape)),)


for _name, _infer, _reference, _compute in (
    ("quantize", _infer_quantize, _reference_quantize, _compute_quantize),
    ("dequantize", _infer_dequantize, _reference_dequantize, _compute_dequantize),
    ("requantize", _infer_requantize, _reference_requantize, _compute_requantize),
):
    register(
        Operator(
            name=_name,
            inputs=("data",),
            infer=_infer,
            reference=_reference,
            compute=_compute,
            bounds=_bounds,
            transposed=by_element,
        )
    )
