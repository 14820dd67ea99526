"""Random layers for the Arm DSP schedules, and the schedules without their micro-kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.schedules.layers_rvv import convolution, depthwise, int8_values, requantization
from tests.support.layers import LayerCase
from tvm_tinyml.module import AOTModule
from tvm_tinyml.schedules.intrinsics import dsp

TARGET = "tinyml -mcpu=cortex-m4"
ROUNDINGS = ("double", "single", "away")


def with_rounding(case: LayerCase, rounding: str) -> LayerCase:
    """The same call with another rounding."""
    return replace(case, attrs={**case.attrs, "rounding": rounding})


def schedules_of(module: AOTModule) -> list[str]:
    """What each case became, in the order of the cases; layers run in an order of their own."""
    layers = sorted(module.compiled.model.layers, key=lambda layer: int(layer.name.rsplit("_", 1)[1]))
    return [layer.schedule for layer in layers]


def random_rounding(generator: np.random.Generator, case: LayerCase) -> LayerCase:
    """Mostly the rounding of convolutions, sometimes one of the others."""
    return with_rounding(case, str(generator.choice(["double", "double", "double", "single", "away"])))


def random_convolution(generator: np.random.Generator) -> LayerCase:
    """Any kernel up to 5x5, stride and dilation up to 3, channels that are multiples of nothing."""
    kernel = (int(generator.integers(1, 6)), int(generator.integers(1, 6)))
    if generator.random() < 0.4:
        kernel = (1, 1)
    strides = (int(generator.integers(1, 4)), int(generator.integers(1, 4)))
    if generator.random() < 0.5:
        strides = (1, 1)
    dilation = (
        (1, 1) if generator.random() < 0.7 else (int(generator.integers(1, 4)), int(generator.integers(1, 4)))
    )
    least = [(size - 1) * factor + 1 for size, factor in zip(kernel, dilation, strict=True)]
    height, width = (extent + int(generator.integers(0, 9)) for extent in least)
    depth = int(generator.choice([1, 2, 3, 4, 5, 8, 14, 16, 31, 47]))
    case = convolution(
        generator,
        (height, width, depth),
        int(generator.integers(2, 20)),
        kernel,
        strides=strides,
        dilation=dilation,
        same=bool(generator.random() < 0.7),
        lowest_weight=-128 if generator.random() < 0.2 else -127,
    )
    return random_rounding(generator, case)


def random_depthwise(generator: np.random.Generator) -> LayerCase:
    """Kernels up to 7x15, stride and dilation up to 3, multiplier up to 4, any number of channels."""
    kernel = (int(generator.integers(1, 8)), int(generator.choice([1, 2, 3, 3, 4, 5, 6, 7, 10, 15])))
    if generator.random() < 0.5:
        kernel = (3, 3)
    strides = (int(generator.integers(1, 3)), int(generator.integers(1, 4)))
    if generator.random() < 0.5:
        strides = (1, 1)
    dilation = (1, 1) if generator.random() < 0.7 or kernel[1] > 5 else (int(generator.integers(1, 4)), 2)
    least = [(size - 1) * factor + 1 for size, factor in zip(kernel, dilation, strict=True)]
    height, width = (extent + int(generator.integers(0, 14)) for extent in least)
    case = depthwise(
        generator,
        (height, width, int(generator.choice([1, 2, 3, 4, 5, 8, 14, 21, 33]))),
        kernel,
        multiplier=int(generator.choice([1, 1, 1, 2, 3])),
        strides=strides,
        dilation=dilation,
        same=bool(generator.random() < 0.7),
        lowest_weight=-128 if generator.random() < 0.2 else -127,
    )
    return random_rounding(generator, case)


def dense(
    generator: np.random.Generator, rows: int, depth: int, channels: int, rounding: str, widest: int = 127
) -> LayerCase:
    """A dense layer on int8 data [rows, depth] with weights up to `widest`."""
    data = int8_values(generator, (rows, depth))
    weight = generator.integers(-widest, widest, (channels, depth), dtype=np.int8, endpoint=True)
    constants, attrs = requantization(generator, channels, depth, rounding)
    attrs |= {"shape": (rows, channels), "input_zero_point": 0}
    return LayerCase("dense", (data, weight, *constants), attrs)


def extreme(case: LayerCase, data: int, weight: int, shift: int) -> LayerCase:
    """The call with equal values everywhere, the largest factors and one shift: sums as large as they get."""
    arrays = list(case.arrays)
    arrays[0] = np.full_like(arrays[0], data)
    arrays[1] = np.full_like(arrays[1], weight)
    arrays[2] = np.full_like(arrays[2], np.sign(data * weight) * (2**20 - 1))
    arrays[3] = np.full_like(arrays[3], 2**31 - 1)
    arrays[4] = np.full_like(arrays[4], shift)
    return replace(case, arrays=tuple(arrays))


class _Described:
    """A Schedule that leaves every block as its description says."""

    def __init__(self, sch: Any) -> None:
        self._sch = sch
        self.mod = sch.mod

    def get_sblock(self, name: str) -> Any:
        return self._sch.get_sblock(name)

    def tensorize(self, block: Any, intrinsic: str) -> None:
        # The description matches the block, or tensorize would refuse.
        self._sch.copy().tensorize(block, intrinsic)


def describe_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the schedules keep the plain loops that describe the micro-kernels."""
    scheduled = dsp.schedule
    monkeypatch.setattr(dsp, "schedule", lambda function: _Described(scheduled(function)))
