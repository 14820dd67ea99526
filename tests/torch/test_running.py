"""`compile_and_run`: a network's outputs and figures in one call, compared with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.torch.networks import conv_norm
from tvm_tinyml.errors import RunError, UnsupportedError
from tvm_tinyml.torch import compile_and_run, quantize

SAMPLES = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(3))


class Ends(nn.Module):
    """A map and scores."""

    def __init__(self) -> None:
        super().__init__()
        self.body = conv_norm(3, 4, 3)
        self.scores = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes [1, 4, 8, 8] and [1, 5] of [1, 3, 8, 8]."""
        made = self.body(x)
        return self.scores(made.mean((2, 3))), made


def test_a_float_network_is_quantised_run_and_compared() -> None:
    torch.manual_seed(1)
    network = Ends()
    ran = compile_and_run(network, SAMPLES[:5], target="tinyml/cortex-m55", calibration=SAMPLES, name="ends")
    scores, made = ran.outputs
    assert (scores.shape, made.shape) == ((5, 5), (5, 4, 8, 8))
    with torch.no_grad():
        exact, real = (one.numpy() for one in network.eval()(SAMPLES[:5]))
    assert np.abs(made - real).max() < 8 * np.ptp(real) / 255
    assert (scores.argmax(1) == exact.argmax(1)).mean() == ran.agreement.same_as_float
    assert ran.agreement.steps <= 1
    assert ran.agreement.same_answers >= 0.8
    assert [loss.operator for loss in ran.losses] == ["conv2d + hardtanh", "mean", "linear"]
    assert ran.report.flash is not None
    for words in (
        "mps3-an547",
        f"{ran.report.instructions:,}",
        f"{ran.report.flash.text:,}",
        "answers as in float",
    ):
        assert words in str(ran)


def test_a_quantised_network_needs_no_samples_and_a_float_one_does() -> None:
    layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    program = quantize(layer, SAMPLES).program
    ran = compile_and_run(program, {"x": SAMPLES[:2]}, target="tinyml/cortex-m4", board="host")
    assert (ran.report.board, ran.agreement.same_as_float, ran.losses) == ("host", None, ())
    assert "answers as in float" not in str(ran)
    with pytest.raises(UnsupportedError, match="pass samples of its inputs as `calibration`"):
        compile_and_run(layer, SAMPLES, target="tinyml/host")
    with pytest.raises(RunError, match=r"input 'input' takes float32 \[count, 3, 8, 8\]"):
        compile_and_run(program, SAMPLES[:, :2], target="tinyml/host")
