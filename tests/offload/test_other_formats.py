"""Models of other formats are offloaded by the same operators: paddings and limits that TFLite says otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.frontend import from_onnx
from tvm_tinyml.offload import offload
from tvm_tinyml.target import parse_target
from tvm_tinyml.transform import ApplyRounding

pytest.importorskip("ethosu", reason="ethos-u-vela is not installed (pip install 'tvm-tinyml[ethosu]')")
pytest.importorskip("onnx")

from tests.frontend.onnx_models import QdqModel


def test_networks_of_onnx_models_compute_what_the_operators_do() -> None:
    build = QdqModel(1, 4, 9, 7)
    padded = build.node(
        "Conv", [build.start, build.weight(6, 4, 3, 3), build.bias(6)], strides=[2, 1], pads=[1, 0, 0, 2]
    )
    # A function by table and limits that TFLite has no activation for stay on the CPU.
    table = build.quantized(build.node("HardSigmoid", [build.quantized(padded)]), 0.01)
    limited = build.node("Conv", [table, build.weight(6, 1, 3, 3)], group=6, pads=[1, 1, 1, 1])
    low, high = build.constant(-1.0, "float32"), build.constant(2.0, "float32")
    clipped = build.quantized(build.node("Clip", [limited, low, high]))
    last = build.node("Conv", [clipped, build.weight(5, 6, 1, 1)], strides=[2, 2])
    module, _ = from_onnx(build.model(build.quantized(build.node("Relu", [last]), 0.04, -9)))
    offloaded = offload(module, parse_target("tinyml -mcpu=host -npu=ethos-u55-64"))
    placement = offloaded.placement
    assert len(placement.networks) == 2
    reasons = " ".join(placement.on_cpu.values())
    assert "TFLite has no operator TABLE" in reasons
    assert "(-1.0, 2.0)" in reasons
    shape = [int(extent) for extent in module["main"].params[0].ty.shape]
    for seed in range(3):
        image = np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)
        (wanted,) = evaluate(ApplyRounding("tflm")(module), [image]).outputs
        (found,) = evaluate(ApplyRounding("tflm")(offloaded.module), [image]).outputs
        np.testing.assert_array_equal(found, wanted)
