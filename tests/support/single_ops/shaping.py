"""RESHAPE, SQUEEZE, EXPAND_DIMS and TRANSPOSE over ranks, shapes, axes and permutations.

Left out because the reference kernels refuse it: TRANSPOSE of more than six dimensions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..tflite_writer import Options
from .case import Case, Value, int32_constant
from .movement import activation, label, movement_case


def cases() -> Iterator[Case]:
    """All cases; the first of each operator is its representative."""
    yield from _reshape()
    yield from _squeeze()
    yield from _expand_dims()
    yield from _transpose()


def _reshape() -> Iterator[Case]:
    pairs: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((1, 3, 4, 5), (1, 60)),
        ((1, 3, 4, 5), (1, -1)),
        ((1, 60), (1, 3, 4, 5)),
        ((1, 3, 4, 5), (1, 12, -1)),
        ((1, 3, 4, 5), (60,)),
        ((1, 3, 4, 5), (1, 5, 4, 3)),
        ((1, 3, 4, 5), (1, 3, 2, 2, 5)),
        ((1, 1, 1, 7), (1, 7)),
        ((1,), ()),
        ((1, 4, 6), (4, 6)),
    )
    for shape, target in pairs:
        known = -math.prod(target)
        result = tuple(size if size >= 0 else math.prod(shape) // known for size in target)
        yield movement_case(
            "RESHAPE",
            f"{label(shape)}to{label(target)}-tensor",
            [activation(shape), int32_constant(np.asarray(target, np.int32))],
            [result],
            Options("ReshapeOptions", {"new_shape": target}),
        )
    yield movement_case(
        "RESHAPE",
        "1x3x4x5to1x60-options",
        [activation((1, 3, 4, 5))],
        [(1, 60)],
        Options("ReshapeOptions", {"new_shape": (1, 60)}),
    )
    yield movement_case(
        "RESHAPE",
        "1x3x4x5to1x60-tensor_without_options",
        [activation((1, 3, 4, 5)), int32_constant((1, 60))],
        [(1, 60)],
    )


def _squeeze() -> Iterator[Case]:
    combinations: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
        ((1, 1, 1, 7), (1, 2)),
        ((1, 1, 1, 7), ()),
        ((1, 3, 1, 5), (2,)),
        ((1, 3, 1, 5), (-2,)),
        ((1, 3, 5, 1), (-1,)),
        ((1, 3, 1, 5), (0, 2)),
        ((1, 1, 4), (1,)),
        ((1, 6, 1, 2, 1), (2, 4)),
    )
    for shape, axes in combinations:
        removed = [axis % len(shape) for axis in axes] or [i for i, size in enumerate(shape) if size == 1]
        result = [size for index, size in enumerate(shape) if index not in removed]
        options = Options("SqueezeOptions", {"squeeze_dims": axes} if axes else {})
        yield movement_case(
            "SQUEEZE", f"{label(shape)}-axes{label(axes)}", [activation(shape)], [result], options
        )


def _expand_dims() -> Iterator[Case]:
    shape = (1, 4, 5)
    for axis in (0, 1, 2, 3, -1, -2, -4):
        yield _expand_dims_case(shape, axis, "int32", ())
    yield _expand_dims_case(shape, 2, "int64", ())
    yield _expand_dims_case(shape, 2, "int32", (1,))
    yield _expand_dims_case((7,), 0, "int32", ())


def _expand_dims_case(shape: tuple[int, ...], axis: int, dtype: str, axis_shape: tuple[int, ...]) -> Case:
    result = list(shape)
    result.insert(axis % (len(shape) + 1), 1)
    constant = Value(axis_shape, dtype, None, data=np.full(axis_shape, axis))
    description = f"{label(shape)}-axis{axis}_{dtype}_{label(axis_shape)}"
    return movement_case(
        "EXPAND_DIMS",
        description,
        [activation(shape), constant],
        [result],
        Options("ExpandDimsOptions"),
    )


def _transpose() -> Iterator[Case]:
    shape = (1, 3, 4, 5)
    permutations: list[tuple[Sequence[int], Sequence[int]]] = [(shape, (0, 3, 1, 2))]
    permutations += [(shape, permutation) for permutation in itertools.permutations(range(4))][::3]
    permutations += [((3, 4, 5), permutation) for permutation in itertools.permutations(range(3))]
    permutations += [
        ((6, 5), (1, 0)),
        ((7,), (0,)),
        ((1, 2, 3, 4, 5), (0, 4, 1, 3, 2)),
        ((1, 2, 3, 4, 5), (4, 3, 2, 1, 0)),
        ((1, 2, 2, 3, 2, 3), (0, 2, 1, 4, 3, 5)),
        ((1, 8, 8, 4), (0, 2, 1, 3)),
        ((1, 3, 4, 5), (0, -1, 1, 2)),
    ]
    for source, permutation in permutations:
        result = [source[axis] for axis in permutation]
        inputs = [activation(source), int32_constant(np.asarray(permutation, np.int32))]
        description = f"{label(source)}-perm{'_'.join(map(str, permutation))}"
        yield movement_case("TRANSPOSE", description, inputs, [result], Options("TransposeOptions"))
