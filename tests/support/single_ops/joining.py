"""CONCATENATION, SPLIT, SPLIT_V, PACK and UNPACK over axes, counts, ranks and constant parts.

Left out because the reference kernels refuse it: parts of a CONCATENATION with another quantisation than the
result's, and its fused activations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..tflite_writer import Options
from .case import Case, Value, case_random, int32_constant
from .movement import SHARED, activation, label, movement_case

SHAPE = (1, 4, 6, 3)


def cases() -> Iterator[Case]:
    """All cases; the first of each operator is its representative."""
    yield from _concatenation()
    yield from _split()
    yield from _split_v()
    yield from _pack()
    yield from _unpack()


def _concatenation() -> Iterator[Case]:
    combinations: tuple[tuple[tuple[int, ...], int, tuple[int, ...]], ...] = (
        (SHAPE, 3, (3, 5)),
        (SHAPE, -1, (1, 2, 3)),
        (SHAPE, 1, (4, 1)),
        (SHAPE, 2, (6, 6)),
        (SHAPE, -3, (2, 2, 2)),
        (SHAPE, 0, (1, 1)),
        (SHAPE, 3, (3,)),
        ((1, 7), 1, (7, 4)),
        ((5,), 0, (5, 2, 1)),
        ((1, 2, 3), 2, (3, 3)),
        ((1, 2, 3, 2, 3), 3, (2, 4)),
        (SHAPE, 3, (1,) * 11),
    )
    for shape, axis, sizes in combinations:
        yield _concatenation_case(shape, axis, sizes, ())
    for constants in ((0,), (1,), (0, 2)):
        yield _concatenation_case(SHAPE, 3, (2, 3, 4), constants)


def _concatenation_case(
    shape: tuple[int, ...], axis: int, sizes: tuple[int, ...], constants: tuple[int, ...]
) -> Case:
    position = axis % len(shape)
    parts = [(*shape[:position], size, *shape[position + 1 :]) for size in sizes]
    description = f"{label(shape)}-axis{axis}-sizes{label(sizes)}"
    if constants:
        description += f"-constant{label(constants)}"
    generator = case_random(description)
    inputs: list[Value] = []
    for index, part in enumerate(parts):
        data = generator.integers(-128, 127, part, endpoint=True) if index in constants else None
        inputs.append(Value(part, "int8", SHARED.scale, SHARED.zero_point, data))
    result = (*shape[:position], sum(sizes), *shape[position + 1 :])
    options = Options("ConcatenationOptions", {"axis": axis})
    return movement_case("CONCATENATION", description, inputs, [result], options)


def _split() -> Iterator[Case]:
    combinations: tuple[tuple[tuple[int, ...], int, int], ...] = (
        (SHAPE, 2, 2),
        (SHAPE, 1, 4),
        (SHAPE, 3, 3),
        (SHAPE, -2, 3),
        (SHAPE, 3, 1),
        ((1, 12), 1, 4),
        ((8,), 0, 2),
        ((1, 3, 10), -1, 5),
        ((1, 2, 3, 4, 2), 3, 2),
    )
    for shape, axis, count in combinations:
        part = list(shape)
        part[axis] //= count
        inputs = [int32_constant(np.int32(axis)), activation(shape)]
        options = Options("SplitOptions", {"num_splits": count})
        yield movement_case("SPLIT", f"{label(shape)}-axis{axis}-{count}", inputs, [part] * count, options)


def _split_v() -> Iterator[Case]:
    combinations: tuple[tuple[tuple[int, ...], int, tuple[int, ...]], ...] = (
        (SHAPE, 2, (1, 2, 3)),
        (SHAPE, 1, (3, 1)),
        (SHAPE, 3, (2, -1)),
        (SHAPE, -1, (-1, 1)),
        (SHAPE, 2, (6,)),
        ((1, 12), 1, (5, 4, 3)),
        ((8,), 0, (1, 7)),
        ((1, 2, 3, 4, 2), -2, (1, 3)),
    )
    for shape, axis, sizes in combinations:
        known = sum(size for size in sizes if size >= 0)
        parts: list[Sequence[int]] = []
        for size in sizes:
            part = list(shape)
            part[axis] = size if size >= 0 else shape[axis] - known
            parts.append(part)
        inputs = [activation(shape), int32_constant(sizes), int32_constant(np.int32(axis))]
        options = Options("SplitVOptions", {"num_splits": len(sizes)})
        description = f"{label(shape)}-axis{axis}-sizes{'_'.join(map(str, sizes))}"
        yield movement_case("SPLIT_V", description, inputs, parts, options)


def _pack() -> Iterator[Case]:
    combinations: tuple[tuple[tuple[int, ...], int, int], ...] = (
        ((1, 4, 5), 1, 2),
        ((1, 4, 5), 0, 3),
        ((1, 4, 5), 3, 2),
        ((1, 4, 5), -1, 4),
        ((1, 4, 5), -3, 2),
        ((7,), 0, 2),
        ((7,), 1, 3),
        ((1, 9), 1, 1),
        ((1, 2, 3, 4), 2, 2),
    )
    for shape, axis, count in combinations:
        result = list(shape)
        result.insert(axis % (len(shape) + 1), count)
        inputs = [activation(shape) for _ in range(count)]
        options = Options("PackOptions", {"values_count": count, "axis": axis})
        yield movement_case("PACK", f"{label(shape)}-axis{axis}-{count}", inputs, [result], options)


def _unpack() -> Iterator[Case]:
    for shape, axis in (
        (SHAPE, 1),
        (SHAPE, 0),
        (SHAPE, 2),
        (SHAPE, 3),
        (SHAPE, -1),
        (SHAPE, -3),
        ((1, 5), 1),
        ((1, 2, 3, 4, 2), 3),
    ):
        part = list(shape)
        count = part.pop(axis)
        options = Options("UnpackOptions", {"num": count, "axis": axis})
        yield movement_case(
            "UNPACK", f"{label(shape)}-axis{axis}", [activation(shape)], [part] * count, options
        )
