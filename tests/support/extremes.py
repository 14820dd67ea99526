"""Extreme values for any layer: what makes sums overflow, factors underflow and clamps close.

`extremes(case)` turns one call, of any operator, into calls of the same geometry at the ends of everything that a
kernel computes with. It goes by the names of the operator's inputs and attributes, so that a new operator needs nothing
here. A test runs what it returns in one program, best through every candidate of the rules under test
(`tests.support.candidates.assert_every_candidate_exact`), as tests/schedules/test_extremes.py does for all cores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.support.layers import LayerCase
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import Array

LARGEST_FACTOR, SMALLEST_FACTOR = 2**31 - 1, 2**30


@dataclass(frozen=True)
class Extreme:
    """What is at an end.

    data: of all activations; None: each element at one of the two ends at random.
    weight: of all weights; None: as data.
    sums: bits that the largest sum takes with its bias, 31 nearly overflows; 0: the bias cancels it, so that the output
        is not saturated; None leaves the bias alone.
    shift: exponent of the factors of all channels; None leaves multipliers and shifts alone.
    multiplier: of all channels, where a shift is given.
    input_zero_point, zero_point: of the activations and of the output.
    """

    data: int | None
    weight: int | None
    sums: int | None
    shift: int | None
    multiplier: int
    input_zero_point: int
    zero_point: int


# Sums at both ends, as large as int32 or less general kernels hold, and spread over the outputs by their factor; sums
# that cancel; values at both ends with the layer's own factors; factors that make every sum 0, or an end of the range.
EXTREMES = (
    *(
        Extreme(value, 127, bits, 6 - bits, LARGEST_FACTOR, zero_point, zero_point)
        for bits in (31, 29, 22, 18)
        for value, zero_point in ((-128, 127), (127, -128))
    ),
    Extreme(-128, -127, 0, -9, LARGEST_FACTOR, 127, -128),
    Extreme(127, -127, 0, -9, SMALLEST_FACTOR, -128, 127),
    Extreme(None, None, None, None, SMALLEST_FACTOR, -128, 127),
    Extreme(None, None, None, None, SMALLEST_FACTOR, 127, -128),
    *(Extreme(None, None, None, shift, SMALLEST_FACTOR, 127, 127) for shift in (-31, -22)),
    *(Extreme(None, None, None, shift, LARGEST_FACTOR, -128, -128) for shift in (-2, 0, 1)),
)


def extremes(case: LayerCase, seed: int = 0) -> list[LayerCase]:
    """The call once for each of `EXTREMES`, as far as the operator has what they change, without repetitions.

    Shapes, windows, rounding and clamps stay; a clamp that begins at the zero point (a ReLU) moves with it, so that
    both forms are met when the case has them. Weights reach -127 as in TFLite's specification, and -128 where those of
    the case do.
    """
    found: list[LayerCase] = []
    for index, extreme in enumerate(EXTREMES):
        one = _at(case, extreme, np.random.default_rng([seed, index]))
        if not any(_equal(one, other) for other in found):
            found.append(one)
    return found


def _at(case: LayerCase, extreme: Extreme, generator: np.random.Generator) -> LayerCase:
    roles = _roles(case)
    arrays = dict(zip(roles, case.arrays, strict=True))
    for role in roles[: case.activations]:
        arrays[role] = _filled(arrays[role], extreme.data, generator)
    attrs = _zero_points(case.attrs, extreme)
    if "weight" in arrays:
        arrays |= _constants(arrays, attrs, extreme, generator)
    return replace(case, arrays=tuple(arrays[role] for role in roles), attrs=attrs)


def _roles(case: LayerCase) -> list[str]:
    """A name for each input; those of a variadic operator have numbers."""
    inputs = operator(case.name).inputs
    if inputs and inputs[-1] == "...":
        return [str(index) for index in range(len(case.arrays))]
    return list(inputs)


def _filled(array: Array, value: int | None, generator: np.random.Generator, lowest: int = -128) -> Array:
    """An array with one value, or with ends at random; numbers that are not int8 stand for themselves."""
    if array.dtype != np.int8:
        return array
    if value is None:
        return generator.choice(np.array([lowest, 127], np.int8), array.shape)
    return np.full_like(array, value)


def _zero_points(attrs: Any, extreme: Extreme) -> dict[str, Any]:
    moved = dict(attrs)
    for name in attrs:
        if name.endswith("zero_point") and name != "zero_point":
            moved[name] = extreme.input_zero_point
    if "zero_point" in attrs:
        moved["zero_point"] = extreme.zero_point
        if attrs.get("clamp_min") == attrs["zero_point"] and extreme.zero_point < attrs["clamp_max"]:
            moved["clamp_min"] = extreme.zero_point
    return moved


def _constants(
    arrays: dict[str, Array], attrs: dict[str, Any], extreme: Extreme, generator: np.random.Generator
) -> dict[str, Array]:
    """Weights, and the bias, multipliers and shifts of the channels that they belong to."""
    lowest = min(-127, int(arrays["weight"].min()))
    weight = _filled(arrays["weight"], extreme.weight, generator, lowest)
    changed = {"weight": weight}
    if extreme.sums is not None:
        taps = weight.size // arrays["bias"].size
        total = (int(extreme.data or 0) - attrs["input_zero_point"]) * int(extreme.weight or 0) * taps
        bias = int(np.sign(total)) * (2**extreme.sums - 1) - total
        changed["bias"] = np.full_like(arrays["bias"], bias)
    if extreme.shift is not None:
        changed["shift"] = np.full_like(arrays["shift"], extreme.shift)
        changed["multiplier"] = np.full_like(arrays["multiplier"], extreme.multiplier)
    return changed


def _equal(one: LayerCase, other: LayerCase) -> bool:
    same = all(np.array_equal(a, b) for a, b in zip(one.arrays, other.arrays, strict=True))
    return same and dict(one.attrs) == dict(other.attrs)
