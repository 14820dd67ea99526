"""A network exported to ONNX is the network that was exported: the same C but for names."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("torchao")
pytest.importorskip("onnxscript")

import torch

from tests.torch.networks import NETWORKS, made
from tests.torch.quantize import quantized
from tvm_tinyml import relay
from tvm_tinyml.frontend import from_onnx, from_pytorch

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_and_pytorch_give_the_same_code(name: str) -> None:
    network, image = made(name)
    _, program = quantized(network, image, calibration=2)
    exported = torch.onnx.export(
        program, (image(),), dynamo=True, opset_version=18, optimize=False, verbose=False
    )
    assert exported is not None
    # rv32imc compiles fastest.
    ours = relay.build(from_pytorch(program, "model")[0], target="tinyml/rv32imc")
    theirs = relay.build(from_onnx(exported.model_proto)[0], target="tinyml/rv32imc")
    one, other = (COMMENT.sub("", built.files["model.c"]) for built in (ours, theirs))
    assert one == other
