"""FoldInputZeroPoint: which sums stop subtracting the zero point, and that their value stays."""

from __future__ import annotations

import pytest

from tests.transform.building import ModuleBuilder, assert_same_meaning, assert_unchanged, calls_of
from tvm_tinyml.transform import FoldInputZeroPoint


@pytest.mark.parametrize("depthwise", [False, True])
def test_a_convolution_without_padding_no_longer_subtracts(depthwise: bool) -> None:
    builder = ModuleBuilder()
    data = builder.parameter(1, 6, 5, 3)
    before = builder.module(builder.conv2d(data, depthwise=depthwise, padding=(0, 0, 0, 0)))
    after = FoldInputZeroPoint()(before)
    assert_same_meaning(before, after)
    ((_, attrs, _),) = calls_of(after)
    assert attrs["input_zero_point"] == 0


def test_a_padded_convolution_keeps_its_zero_point() -> None:
    builder = ModuleBuilder()
    data = builder.parameter(1, 6, 5, 3)
    assert_unchanged(builder.module(builder.conv2d(data, padding=(1, 0, 0, 0))), FoldInputZeroPoint())
