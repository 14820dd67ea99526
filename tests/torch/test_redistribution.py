"""Receptive fields moved in PyTorch: growth is exact, fits beat truncation, and training gets the answers back."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.torch.networks import Bottleneck, Classifier, conv_norm
from tvm_tinyml import relay
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.errors import ModelError, PlanError, TinyMLError, UnsupportedError
from tvm_tinyml.frontend import from_pytorch
from tvm_tinyml.torch import Quantized, distill, quantize, redistribute
from tvm_tinyml.torch.kernels import convolutions, fit, resized

CUT = (-1, -1, -1, -1)


def seeded(seed: int = 0) -> torch.Generator:
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def small(act: str = "relu6") -> nn.Module:
    """A narrow MobileNetV2 for images of 16 x 16 in three classes."""
    blocks = [
        Bottleneck(6, 6, 1, 2, act=act),
        Bottleneck(6, 8, 2, 2, act=act),
        Bottleneck(8, 8, 1, 2, act=act),
    ]
    return Classifier(nn.Sequential(conv_norm(1, 6, 3, act=act), *blocks), 8, 3)


def shapes(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images of horizontal, vertical and diagonal stripes in noise, and which of them they are."""
    classes = torch.randint(0, 3, (count,), generator=generator)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    stripes = torch.stack([torch.sin(one) for one in (rows, columns, rows + columns)])
    noise = torch.randn((count, 16, 16), generator=generator)
    return (stripes[classes] + 0.4 * noise).unsqueeze(1), classes


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 2),
    st.integers(1, 2),
    st.sampled_from([1, 2, 4]),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_growing_changes_nothing(kernel: Any, stride: int, dilation: int, groups: int, more: Any) -> None:
    generator = seeded()
    layer = nn.Conv2d(4, 4, kernel, stride, 2, dilation=dilation, groups=groups)
    network = nn.Sequential(layer).eval()
    images = torch.randn(2, 4, 9, 10, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(resized(network, {"0": (*more, *more)})(images), network(images))


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([1, 2, 6]), st.integers(1, 2), st.booleans(), st.integers(0, 99))
def test_a_fit_is_better_than_cutting_taps_off(groups: int, stride: int, biased: bool, seed: int) -> None:
    generator = seeded(seed)
    network = nn.Sequential(nn.Conv2d(6, 6, 3, stride, 1, groups=groups, bias=biased))
    images = torch.randn(8, 6, 12, 12, generator=generator).cumsum(-1)
    cut = resized(network, {"0": CUT if stride == 1 else (-1, -1, 0, 0)})
    errors = fit(cut, network, "0", images)
    assert errors is not None
    truncated, fitted = errors
    assert fitted < truncated


def test_a_fit_finds_weights_that_do_not_need_the_taps() -> None:
    generator = seeded()
    network = nn.Sequential(conv_norm(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1, groups=2)).eval()
    layer = network[1]
    assert isinstance(layer, nn.Conv2d)
    with torch.no_grad():
        kept = layer.weight[:, :, 1:2, 1:2].clone()
        layer.weight.zero_()
        layer.weight[:, :, 1:2, 1:2] = kept
        cut = resized(network, {"1": CUT})
        for parameter in cut.get_submodule("1").parameters():
            parameter.zero_()
        errors = fit(cut, network, "1", torch.randn(4, 2, 9, 9, generator=generator))
        assert errors is not None
        assert errors[1] < 1e-9
        torch.testing.assert_close(cut.get_parameter("1.weight"), kept)


def test_moved_strides_are_fitted_where_both_maps_have_pixels() -> None:
    generator = seeded()
    network = nn.Sequential(
        conv_norm(2, 4, 3), conv_norm(4, 4, 3, stride=2, groups=4), nn.Conv2d(4, 3, 1)
    ).eval()
    images = torch.randn(6, 2, 15, 16, generator=generator).cumsum(-1).cumsum(-2)
    strides = {"0.0": (2, 2), "1.0": (1, 1)}
    moved = resized(network, {}, strides)
    assert {name: moved.get_submodule(name).stride for name in strides} == strides
    with torch.no_grad():
        assert moved(images).shape == network(images).shape
        moved.get_parameter("0.0.weight").zero_()
    # Every second pixel of the first map is what it was before.
    first, second, last = (fit(moved, network, name, images) for name in ("0.0", "1.0", "2"))
    assert first is not None
    assert second is not None
    assert last is not None
    assert first[1] < 1e-9
    assert second[1] < second[0]
    assert last[1] < last[0]


def test_a_network_whose_kernels_must_stay_gets_its_stride_elsewhere() -> None:
    generator = seeded()
    body = nn.Sequential(conv_norm(1, 6, 3), conv_norm(6, 6, 3, groups=6), nn.Conv2d(6, 8, 1, 2))
    network = Classifier(body, 8, 3).eval()
    images = torch.randn(8, 1, 16, 16, generator=generator)
    given = {"ram_budget": 2_600, "calibration": images, "target": "tinyml -mcpu=host"}
    with pytest.raises(PlanError, match="later kernels cannot grow"):
        redistribute(network, images, strides="never", **given)  # type: ignore[arg-type]
    found = redistribute(network, images, **given)  # type: ignore[arg-type]
    assert found.strides == {"body.2": (1, 1), "body.0.0": (2, 2)}
    assert found.overhead_cut == 1.0
    before, initialised = found.stages
    assert initialised.figures.arena_bytes <= before.figures.arena_bytes
    assert all(after <= cut + 1e-9 for cut, after in found.errors.values())
    assert found.module(images).shape == (8, 3)
    with pytest.raises(PlanError, match="not one of last, alike, never"):
        redistribute(network, images, strides="no", **given)  # type: ignore[arg-type]


def test_layers_are_named_in_the_order_in_which_they_run() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Conv2d(2, 2, 1)
            self.first = nn.Conv2d(1, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.second(self.first(x))
            return made

    class Twice(Backwards):
        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = super().forward(x) + self.second(self.first(x))
            return made

    image = torch.zeros(1, 1, 8, 8)
    assert convolutions(Backwards(), image) == ["first", "second"]
    with pytest.raises(UnsupportedError, match="first, second run more than once"):
        convolutions(Twice(), image)


def test_layers_that_pad_otherwise_are_refused() -> None:
    reflecting = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(UnsupportedError, match="not padded with zeros"):
        resized(reflecting, {"0": CUT})
    assert fit(reflecting, reflecting, "0", torch.zeros(1, 1, 8, 8)) is None


def test_training_without_batches_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    batches = iter([torch.zeros(3, 1, 2, 2)])
    with pytest.raises(ModelError, match="no batches"):
        distill(network, network, batches, epochs=2)
    with pytest.raises(ModelError, match="no batches"):
        distill(network, network, iter([torch.zeros(3, 1, 2, 2)]), epochs=1)
    with pytest.raises(ModelError, match="loop of your own"):
        distill(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1), [torch.zeros(3, 1, 2, 2)], epochs=1)


def test_normalisations_keep_what_they_see_of_all_batches_after_training() -> None:
    generator = seeded()
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    images = 3 + 2 * torch.randn(64, 2, 2, 2, generator=generator)
    distill(network, copy.deepcopy(network), torch.chunk(images, 4), epochs=1)
    norm = network[0]
    assert isinstance(norm, nn.BatchNorm2d)
    torch.testing.assert_close(norm.running_mean, images.mean((0, 2, 3)))
    assert norm.momentum == 0.1
    assert not network.training


def test_networks_without_anything_to_gain_are_refused() -> None:
    generator = seeded()
    images = torch.randn(4, 1, 16, 16, generator=generator)
    pixels = Classifier(nn.Sequential(conv_norm(1, 8, 1), nn.MaxPool2d(3, 2, 1), conv_norm(8, 8, 1)), 8, 3)
    with pytest.raises(TinyMLError, match="no convolution of the patched stage"):
        redistribute(pixels, images, ram_budget=1_024, calibration=images)
    with pytest.raises(PlanError, match="choose from patches, streamed"):
        redistribute(pixels, images, ram_budget=1, calibration=images, plans="none")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_network_is_changed_and_trained_back(monkeypatch: pytest.MonkeyPatch) -> None:
    programs: list[Any] = []

    def recorded(module: nn.Module, calibration: Tensor) -> Quantized:
        made = quantize(module, calibration)
        programs.append(made.program)
        return made

    monkeypatch.setattr("tvm_tinyml.torch.redistribution.quantize", recorded)
    generator = seeded(5)
    images, classes = shapes(192, generator)
    tested, answers = shapes(300, generator)
    network = small()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    batches = list(zip(torch.split(images, 32), torch.split(classes, 32), strict=True))
    for batch, labels in batches * 6:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.eval()
    weights = {name: value.clone() for name, value in network.state_dict().items()}

    def accuracy(module: nn.Module) -> float:
        return float((module(tested).argmax(1) == answers).float().mean())

    found = redistribute(
        network,
        images,
        ram_budget=2_600,
        calibration=images[:32],
        training=batches,
        accuracy=accuracy,
        epochs=4,
        target="tinyml -mcpu=host",
    )
    before, initialised, tuned = found.stages
    assert before.figures.arena_bytes >= tuned.figures.arena_bytes
    assert found.overhead_cut >= 0.6
    assert found.overhead_cut == 1 - (tuned.figures.factor - 1) / (before.figures.factor - 1)
    for one, other in zip(before.figures.receptive_field, tuned.figures.receptive_field, strict=True):
        assert one <= other
    assert before.accuracy is not None
    assert initialised.accuracy is not None
    assert tuned.accuracy is not None
    assert before.accuracy > 0.9
    assert tuned.accuracy >= before.accuracy - 0.02
    assert len(found.table().splitlines()) == 5
    # The network that was given is as it was.
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, weights[name])

    # The plan is one for the new network, quantised and imported with integer edges.
    module, _ = from_pytorch(programs[-1], float_edges=False)
    built = relay.build(module, target="tinyml -mcpu=host", patch=found.plan)
    pixels = np.random.default_rng(0).integers(-128, 128, (1, 16, 16, 1)).astype("int8")
    np.testing.assert_array_equal(built.run(pixels).outputs[0], evaluate(module, [pixels]).outputs[0])
