"""Four networks quantised with our quantizer: PyTorch's answers in integers alone, and the same C by way of ONNX."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from tests.frontend.calls import calls
from tests.torch.networks import NETWORKS, made
from tests.torch.quantize import batched, quantized
from tvm_tinyml import relay
from tvm_tinyml.dialect import operator_of
from tvm_tinyml.frontend import from_onnx, from_pytorch

IMAGES = 500
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


# One test for all, because quantising and building take most of the time.
@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_keeps_its_answers_and_is_the_same_integers_from_onnx(name: str) -> None:
    pytest.importorskip("onnxscript")
    network, image = made(name)
    reference, program = quantized(network, image)
    example = image()
    onnx = torch.onnx.export(
        program, (example,), dynamo=True, opset_version=18, optimize=False, verbose=False
    )
    assert onnx is not None

    module, _ = from_pytorch(program, "model", float_edges=False)
    assert not {"quantize", "dequantize", "transpose"} & set(operators(module))
    ours, header = code(module)
    assert not re.search(r"\b(float|double)\b", ours + header)
    # The header holds a hash, of names as well.
    assert ours == code(from_onnx(onnx.model_proto, float_edges=False)[0])[0]

    built = relay.build(from_pytorch(program, name)[0], target="tinyml -mcpu=host")
    images = torch.cat([image() for _ in range(IMAGES)])
    expected = batched(reference, images).numpy()
    inputs = [np.ascontiguousarray(one[np.newaxis]) for one in images.permute(0, 2, 3, 1).numpy()]
    scores = np.concatenate([out for (out,) in built.run_many(inputs).outputs])
    (output,) = [one for one in built.compiled.model.layers if one.operator == "dequantize"]
    # PyTorch's reference scales in floating point, the kernels in fixed point.
    assert np.rint(np.abs(scores - expected) / output.attributes["input_scale"]).max() <= 1
    assert (scores.argmax(-1) == expected.argmax(-1)).mean() >= 0.99


def operators(module: Any) -> list[str]:
    return [found.name for _, call in calls(module) if (found := operator_of(call))]


def code(module: Any) -> tuple[str, str]:
    """Generated C and its header without comments, which hold names of tensors."""
    # rv32imc compiles fastest, and where regions stream follows from the same graph.
    files = relay.build(module, target="tinyml -mcpu=rv32imc -without=PatchInference").files
    return COMMENT.sub("", files["model.c"]), COMMENT.sub("", files["model.h"])
