"""RVV code on cores of longer vectors than the smallest: the same results for any VLEN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.schedules.layers_rvv import TARGET
from tests.schedules.test_add_rvv import all_pairs, attributes
from tests.schedules.test_conv2d_pixels_rvv import random_convolution as convolution_of_few_channels
from tests.schedules.test_conv2d_rvv import random_convolution
from tests.schedules.test_dense_rvv import dense
from tests.schedules.test_depthwise_rvv import random_depthwise
from tests.schedules.test_quantize_rvv import numbers
from tests.schedules.weightless_rvv import weightless
from tests.support.layers import LayerCase, module_of
from tvm_tinyml.dialect import operator
from tvm_tinyml.module import AOTModule
from tvm_tinyml.schedules.add import fit_sum
from tvm_tinyml.target import parse_target


@pytest.mark.parametrize("vlen", [256, 1024])
def test_results_do_not_depend_on_the_vector_length(vlen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Sums are not lines, but differences may be.
    monkeypatch.setattr(
        "tvm_tinyml.schedules.add_rvv.fit_sum",
        lambda name, attrs: None if name == "add" else fit_sum(name, attrs),
    )
    generator = np.random.default_rng(vlen)
    makers = (random_convolution, convolution_of_few_channels, random_depthwise)
    cases = [make(generator) for make in makers for _ in range(8)]
    cases += [dense(generator, 2, 77, channels, "away") for channels in (12, 40, 64, 100)]
    cases.append(LayerCase("quantize", (numbers(generator, 1.0, 40),), {"dtype": "int8", "scale": 1.0}))
    a, b = all_pairs()
    cases.append(LayerCase("add", (a[:1000], b[:1000]), attributes(generator), 2))
    cases += weightless(generator, 4)
    config = parse_target(f"{TARGET} -without=PatchInference")
    assert config.board is not None
    assert config.board.qemu is not None
    cpu = config.board.qemu.cpu.replace("vlen=128", f"vlen={vlen}")
    board = replace(config.board, qemu=replace(config.board.qemu, cpu=cpu))
    module = AOTModule(module_of(cases), replace(config, board=board))
    inputs = [array for case in cases for array in case.arrays[: case.activations]]
    outputs, _ = module.run(inputs, profile=False)
    for case, output in zip(cases, outputs, strict=True):
        expected = operator(case.name).reference(case.arrays, {"zero_point": 0} | dict(case.attrs))
        np.testing.assert_array_equal(output, expected, err_msg=f"{case.name} {case.attrs}")
