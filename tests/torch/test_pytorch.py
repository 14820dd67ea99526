"""Networks quantised with our quantizer compute what PyTorch's reference does, in integers alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.torch.networks import conv_norm
from tests.torch.quantize import quantized
from tvm_tinyml import relay
from tvm_tinyml.errors import UnsupportedError
from tvm_tinyml.frontend import from_pytorch
from tvm_tinyml.torch import compile_and_run


def channels_last(image: Any) -> Any:
    return image.permute(0, 2, 3, 1).contiguous().numpy()


def exported(*operators: Any, shape: tuple[int, ...] = (1, 3, 8, 8)) -> Any:
    torch.manual_seed(4)
    for layer in operators:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    network = nn.Sequential(*operators).eval()
    generator = torch.Generator().manual_seed(3)
    return quantized(network, lambda: torch.randn(shape, generator=generator))


class Numbers(nn.Module):
    """Arithmetic with numbers, as in activations that people write out."""

    def forward(self, x: Any) -> Any:
        return 1 - x * nn.functional.relu6(x + 3) / 6


def test_operators_without_a_counterpart_are_all_named() -> None:
    class Odd(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.special.bessel_j0(torch.cumsum(x, 1))

    _, program = exported(nn.Conv2d(3, 4, 3), Odd())
    with pytest.raises(UnsupportedError, match="2 things have no integer form") as caught:
        from_pytorch(program)
    assert "aten.cumsum.default" in str(caught.value)
    assert "special_bessel_j0" in str(caught.value)


def test_a_float_model_is_refused_with_the_remedy() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    program = torch.export.export(network, (torch.randn(1, 3, 8, 8),))
    with pytest.raises(UnsupportedError, match="computes in float"):
        from_pytorch(program)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.MaxPool2d(2), nn.Sigmoid()],
        [nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.SiLU(), nn.AvgPool2d(2)],
        [nn.Conv2d(3, 4, (3, 1), stride=(2, 1), dilation=(1, 2)), nn.LeakyReLU(0.2)],
        [nn.Flatten(), nn.Linear(192, 7), nn.GELU()],
        [nn.ZeroPad2d((1, 2, 0, 3)), nn.Conv2d(3, 4, 3), nn.Tanh()],
        [nn.Conv2d(3, 5, 1), nn.Hardsigmoid(), nn.Softmax(1)],
        [nn.Conv2d(3, 5, 1), Numbers()],
    ],
    ids=lambda layers: "-".join(type(one).__name__ for one in layers),
)
def test_layers_are_within_a_step_of_the_reference(layers: list[Any]) -> None:
    reference, program = exported(*layers)
    module, _ = from_pytorch(program)
    built = relay.build(module, target="tinyml -mcpu=host")
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        expected = reference(image).numpy()
    (ours,) = built.run(channels_last(image)).outputs
    expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected
    (output,) = [one for one in built.compiled.model.layers if one.operator == "dequantize"]
    steps = np.rint(np.abs(ours - expected) / output.attributes["input_scale"])
    # A step of a convolution can be two of the function behind it; softmax rounds to 1/256 first and then once more.
    steep = isinstance(layers[-1], (nn.Softmax, nn.Tanh))
    assert steps.max() <= (2 if steep else 1)
    assert steep or (steps == 0).mean() > 0.9


def test_layers_that_are_always_zero_or_constant_are_exact() -> None:
    class Dead(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.relu(x - 1000) + (x - x)

    layers = [
        nn.Conv2d(3, 4, 3),
        Dead(),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 1),
        nn.ReLU(),
        nn.Conv2d(4, 2, 1),
    ]
    torch.manual_seed(4)
    network = nn.Sequential(*layers).eval()
    with torch.no_grad():
        network.get_parameter("2.weight").zero_()
        network.get_parameter("2.bias").copy_(torch.tensor([1000.0, -3.0, 0.0, 1e-6]))
        network.get_parameter("3.weight")[1:].zero_()
        network.get_parameter("3.bias").copy_(torch.tensor([0.5, 1e5, -1e5, 0.0]))
    generator = torch.Generator().manual_seed(3)
    reference, program = quantized(network, lambda: torch.randn((1, 3, 8, 8), generator=generator))
    module, _ = from_pytorch(program)
    image = torch.randn(1, 3, 8, 8, generator=generator)
    (ours,) = relay.build(module, target="tinyml -mcpu=host").run(channels_last(image)).outputs
    with torch.no_grad():
        np.testing.assert_array_equal(ours, channels_last(reference(image)))


def test_quantisation_aware_training_goes_the_same_way() -> None:
    from torchao.quantization.pt2e import move_exported_model_to_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e

    from tvm_tinyml.torch import TinyMLQuantizer

    torch.manual_seed(2)
    network = nn.Sequential(conv_norm(3, 4, 3, 2, act="relu"), nn.Flatten(), nn.Linear(64, 3))
    batch = {0: torch.export.Dim("batch")}
    traced = torch.export.export(network, (torch.randn(4, 3, 8, 8),), dynamic_shapes=(batch,)).module()
    prepared = prepare_qat_pt2e(traced, TinyMLQuantizer(is_qat=True))
    optimizer = torch.optim.SGD(prepared.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        (prepared(torch.randn(6, 3, 8, 8)) - 1).square().mean().backward()
        optimizer.step()
    move_exported_model_to_eval(prepared)
    program = torch.export.export(convert_pt2e(prepared), (torch.zeros(1, 3, 8, 8),))
    run = compile_and_run(program, torch.randn(8, 3, 8, 8), target="tinyml/host")
    assert run.agreement.steps <= 1
    # Normalisation and clamp are part of their layer.
    operators = [layer.operator for layer in run.module.compiled.model.layers]
    assert operators == ["quantize", "conv2d", "dense", "dequantize"]
