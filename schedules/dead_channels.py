"""Ordinary requantisation constants for channels whose weights are all zero.

Such a channel is constant whatever its bias and factor are, so converters leave factors of any size there, and one
of them would keep its whole layer from the forms of requantisation that fits are proven for. Its constants may
be any that give the same output.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvm_tinyml.dialect.fixed_point import requantize

from .kernel import Problem

CHANNEL_AXIS = {"conv2d": 0, "depthwise_conv2d": 3, "dense": 0}
# Right shifts, as negative exponents, that every form of requantisation takes.
ORDINARY_SHIFTS = (-16, -2)


def with_ordinary_constants(problem: Problem) -> Problem:
    """The same layer with a factor of its ordinary channels' size in place of those of its dead channels."""
    axis = CHANNEL_AXIS.get(problem.operator)
    constants, attrs = problem.constants, problem.attrs
    if axis is None or not {"weight", "bias", "multiplier", "shift"} <= constants.keys():
        return problem
    others = tuple(other for other in range(constants["weight"].ndim) if other != axis)
    dead = ~constants["weight"].any(axis=others)
    if not dead.any():
        return problem
    bias, multiplier, shift = (constants[role].astype(np.int64) for role in ("bias", "multiplier", "shift"))
    low, high = (attrs[edge] - attrs["zero_point"] for edge in ("clamp_min", "clamp_max"))
    outputs = np.clip(requantize(bias, multiplier, shift, attrs["rounding"]), low, high)
    lowest, highest = ORDINARY_SHIFTS
    ordinary = int(np.clip(shift[~dead].max(initial=lowest), lowest, highest))
    # With a factor of 2^(ordinary - 1), sums that are its multiples are scaled without rounding.
    replaced = {
        "bias": np.where(dead, outputs << (1 - ordinary), bias),
        "multiplier": np.where(dead, 2**30, multiplier),
        "shift": np.where(dead, ordinary, shift),
    }
    as_int32 = {role: values.astype(np.int32) for role, values in replaced.items()}
    return replace(problem, constants={**constants, **as_int32})
