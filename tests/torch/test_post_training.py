"""Quantisation after training from PyTorch: close to the float module, with the loss of every layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.torch.networks import Residual
from tvm_tinyml import relay
from tvm_tinyml.errors import ModelError, RunError, UnsupportedError
from tvm_tinyml.torch import quantize

SAMPLES = torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 4, padding="same", bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU6(inplace=True),
        Residual(4, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


def test_a_quantised_module_answers_like_the_float_one() -> None:
    floating = network()
    assert floating.training
    quantized = quantize(floating, SAMPLES)
    assert floating.training
    module = relay.build(relay.frontend.from_pytorch(quantized.program)[0], target="tinyml/host")
    images = SAMPLES[:12]
    with torch.no_grad():
        exact = floating.eval()(images).numpy()
    ours = module.run_many([one.permute(1, 2, 0).contiguous().numpy()[np.newaxis] for one in images])
    scores = np.concatenate([out for (out,) in ours.outputs])
    # Errors of layers add up to some steps of the scores.
    assert np.abs(scores - exact).max() < 8 * np.ptp(exact) / 255
    assert [loss.operator for loss in quantized.losses] == [
        "conv2d + hardtanh_",
        "conv2d + relu",
        "conv2d",
        "add + relu",
        "adaptive_avg_pool2d",
        "flatten",
        "linear",
    ]
    assert all(25 < loss.sqnr_db < 70 for loss in quantized.losses)


def test_the_layer_that_loses_most_is_told() -> None:
    class There(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x + 1000.0) - 1000.0

    losses = quantize(nn.Sequential(There(), nn.Conv2d(3, 4, 3)), SAMPLES).losses
    assert [(loss.operator, loss.sqnr_db > 10) for loss in losses] == [
        ("add", True),
        ("sub", False),
        ("conv2d", False),
    ]


def test_several_inputs_are_named() -> None:
    class Sum(nn.Module):
        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return torch.relu(left + right)

    quantized = quantize(Sum(), {"left": SAMPLES, "right": SAMPLES[:, :, :1]})
    module = relay.build(relay.frontend.from_pytorch(quantized.program)[0], target="tinyml/host")
    assert [one["shape"] for one in module.metadata["inputs"]] == [[1, 8, 8, 3], [1, 1, 8, 3]]


def test_what_cannot_be_quantised_is_refused() -> None:
    layer = nn.Conv2d(3, 4, 3)
    with pytest.raises(RunError, match=r"input 'input' takes float32 \[count, 3, 8, 8\]"):
        quantize(torch.export.export(layer, (SAMPLES[:1],)), SAMPLES[:, :2])
    with pytest.raises(RunError, match="no samples"):
        quantize(layer, SAMPLES[:0])
    with pytest.raises(ModelError, match="PyTorch cannot export the module: "):
        quantize(layer, SAMPLES[:, :2])
    with pytest.raises(
        UnsupportedError, match=r"'input' is float32 \[2, 3, 8, 8\], supported are .* batch of 1"
    ):
        quantize(torch.export.export(layer, (SAMPLES[:2],)), SAMPLES)
    quantized = quantize(layer, SAMPLES).program
    with pytest.raises(UnsupportedError, match="quantised already"):
        quantize(quantized, SAMPLES)


def test_operators_that_stay_float_and_unknown_ones_are_listed_together() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            parts = torch.split(torch.relu(x), 1, dim=1)
            made: Tensor = torch.cumsum(parts[0], 2) + torch.special.bessel_j0(torch.exp(x))
            return made

    program: Any = quantize(nn.Sequential(nn.Conv2d(3, 4, 3), Odd()), SAMPLES).program
    with pytest.raises(UnsupportedError, match="things have no integer form") as caught:
        relay.frontend.from_pytorch(program)
    message = str(caught.value)
    for name in ("aten.split.Tensor", "aten.exp.default", "aten.cumsum.default", "special_bessel_j0"):
        assert name in message
    # What only depends on refused operators is not blamed.
    assert "getitem" not in message
    assert "aten.add" not in message
