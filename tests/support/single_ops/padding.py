"""PAD and PADV2 over ranks, pad widths, zero points and pad values.

Left out because the reference kernels refuse it: more than five dimensions, negative widths.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..tflite_writer import Options
from .case import Case, Value, single_operator
from .movement import label
from .quantization import Quantization

Widths = tuple[tuple[int, int], ...]

WIDTHS: tuple[tuple[tuple[int, ...], Widths], ...] = (
    ((1, 4, 5, 3), ((0, 0), (1, 1), (1, 1), (0, 0))),
    ((1, 4, 5, 3), ((0, 0), (0, 1), (0, 1), (0, 0))),
    ((1, 4, 5, 3), ((0, 0), (2, 0), (1, 3), (0, 0))),
    ((1, 4, 5, 3), ((0, 0), (0, 0), (0, 0), (2, 3))),
    ((1, 4, 5, 3), ((0, 0), (1, 2), (0, 3), (1, 0))),
    ((1, 4, 5, 3), ((0, 0), (0, 0), (0, 0), (0, 0))),
    ((7,), ((2, 3),)),
    ((1, 6), ((0, 0), (4, 1))),
    ((1, 5, 4), ((0, 0), (1, 0), (0, 2))),
    ((1, 2, 3, 2, 3), ((0, 0), (1, 1), (0, 1), (2, 0), (0, 0))),
    ((1, 1, 1, 1), ((0, 0), (3, 2), (2, 3), (1, 1))),
    ((1, 3, 3, 2), ((1, 0), (0, 0), (0, 0), (0, 0))),
)


def cases() -> Iterator[Case]:
    """All cases of both operators; the first of each operator is its representative."""
    for shape, widths in WIDTHS:
        yield _pad("PAD", shape, widths)
    for zero_point in (-128, 127):
        yield _pad("PAD", *WIDTHS[0], zero_point=zero_point)
    yield _pad("PAD", *WIDTHS[4], index_dtype="int64")
    for shape, widths in WIDTHS[:10:2]:
        yield _pad("PADV2", shape, widths, value=-77)
    for value, zero_point in ((-128, -128), (127, -128), (0, 127), (-3, -3), (-128, 5)):
        yield _pad("PADV2", *WIDTHS[2], zero_point=zero_point, value=value)
    yield _pad("PADV2", *WIDTHS[4], index_dtype="int64", value=19)


def _pad(
    operator: str,
    shape: tuple[int, ...],
    widths: Widths,
    *,
    zero_point: int = -3,
    value: int | None = None,
    index_dtype: str = "int32",
) -> Case:
    quantization = Quantization(0.05, zero_point)
    table = np.asarray(widths)
    inputs = [quantization.value(shape), Value(table.shape, index_dtype, None, data=table)]
    case_id = f"{operator.lower()}-{label(shape)}-{'_'.join(f'{a}.{b}' for a, b in widths)}-zp{zero_point}"
    if index_dtype != "int32":
        case_id += f"-{index_dtype}"
    if value is not None:
        inputs.append(Value((), "int8", quantization.scale, zero_point, np.asarray(value)))
        case_id += f"-value{value}"
    result = quantization.value(tuple(size + sum(pair) for size, pair in zip(shape, widths, strict=True)))
    options = Options("PadOptions" if operator == "PAD" else "PadV2Options")
    return single_operator(case_id, operator, inputs, [result], options)
