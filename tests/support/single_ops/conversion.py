"""QUANTIZE between float32, uint8, int8 and int16, and DEQUANTIZE of the integer types.

Left out because the reference kernels refuse it: int16 -> uint8, and int16 tensors with a zero point other
than 0 when both sides are int16.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..tflite_writer import Options
from .case import Case, Value, single_operator

SHAPE = (1, 8, 16, 4)
Side = tuple[str, float | None, int]

QUANTIZE_PAIRS: tuple[tuple[Side, Side], ...] = (
    (("int8", 0.05, -3), ("int8", 0.04, 7)),
    (("int8", 0.05, -3), ("int8", 0.05, -3)),
    (("int8", 0.05, -3), ("int8", 0.05, 10)),
    (("int8", 0.05, -128), ("int8", 0.21, 90)),
    (("int8", 0.5, 0), ("int8", 1.0, 0)),
    (("int8", 0.3, 60), ("int8", 0.1, -10)),
    (("int8", 0.02, 127), ("int8", 0.3, -100)),
    (("int8", 0.075, 0), ("int8", 0.1, 3)),
    (("uint8", 1 / 255, 0), ("int8", 1 / 255, -128)),
    (("uint8", 0.05, 125), ("int8", 0.05, -3)),
    (("uint8", 0.05, 125), ("int8", 0.05, 4)),
    (("uint8", 0.0078125, 128), ("int8", 0.01, -1)),
    (("uint8", 0.5, 255), ("int8", 1.0, 0)),
    (("int8", 1 / 255, -128), ("uint8", 1 / 255, 0)),
    (("int8", 0.05, -3), ("uint8", 0.04, 130)),
    (("int8", 0.5, 5), ("uint8", 1.0, 0)),
    (("int16", 0.0003, 0), ("int8", 0.06, 4)),
    (("int16", 1 / 32768, 0), ("int8", 1 / 128, 0)),
    (("int16", 0.0003, 0), ("int8", 0.0771, -128)),
    (("int16", 0.5, 0), ("int8", 128.0, 0)),
    (("int8", 0.05, -3), ("int16", 0.0003, 0)),
    (("int8", 0.05, 0), ("int16", 0.05, 0)),
    (("uint8", 0.05, 100), ("int16", 0.0011, 0)),
    (("float32", None, 0), ("int8", 0.05, -3)),
    (("float32", None, 0), ("int8", 0.05, -128)),
    (("float32", None, 0), ("int8", 0.0117, 127)),
    (("float32", None, 0), ("int8", 1.0, 0)),
    (("float32", None, 0), ("int8", 1 / 256, -128)),
    (("float32", None, 0), ("uint8", 0.05, 128)),
    (("float32", None, 0), ("int16", 0.0003, 0)),
)

DEQUANTIZE_SOURCES: tuple[Side, ...] = (
    ("int8", 0.05, -3),
    ("int8", 0.1, -128),
    ("int8", 1 / 256, -128),
    ("int8", 0.0117, 127),
    ("int8", 3.7, 0),
    ("uint8", 0.05, 128),
    ("uint8", 1 / 255, 0),
    ("int16", 0.0003, 0),
)


def cases() -> Iterator[Case]:
    """All cases of both operators; the first of each operator is its representative."""
    for source, target in QUANTIZE_PAIRS:
        yield _conversion("QUANTIZE", source, target, SHAPE)
    for shape in ((1, 37), (19,), (1, 5, 7)):
        yield _conversion("QUANTIZE", *QUANTIZE_PAIRS[0], shape)
    for source in DEQUANTIZE_SOURCES:
        yield _conversion("DEQUANTIZE", source, ("float32", None, 0), SHAPE)
    for shape in ((1, 37), (19,)):
        yield _conversion("DEQUANTIZE", DEQUANTIZE_SOURCES[0], ("float32", None, 0), shape)


def _conversion(operator: str, source: Side, target: Side, shape: tuple[int, ...]) -> Case:
    case_id = f"{operator.lower()}-{_label(source)}to{_label(target)}-{'x'.join(map(str, shape))}"
    options = Options("QuantizeOptions" if operator == "QUANTIZE" else "DequantizeOptions")
    return single_operator(case_id, operator, [Value(shape, *source)], [Value(shape, *target)], options)


def _label(side: Side) -> str:
    dtype, scale, zero_point = side
    return dtype if scale is None else f"{dtype}_{scale:.4g}z{zero_point}"
