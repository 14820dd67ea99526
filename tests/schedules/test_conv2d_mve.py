"""Convolutions on Cortex-M55: equal to the dialect on any geometry, by every form of strip, and cheap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.schedules.layers_dsp import extreme, random_convolution, random_rounding, with_rounding
from tests.schedules.layers_rvv import convolution
from tests.support.layers import LayerCase, assert_layers_exact, build_layers
from tvm_tinyml.schedules import conv2d_mve, pointwise_mve
from tvm_tinyml.schedules.intrinsics.mve.im2col import Windows, im2col_kernel
from tvm_tinyml.schedules.wide_mve import wide_rows

TARGET = "tinyml -mcpu=cortex-m55"


def ways(generator: np.random.Generator) -> list[tuple[LayerCase, str]]:
    """Layers and the way that each must be computed: every form of strip and what ends them."""
    shapes: list[tuple[tuple[int, int, int], int, tuple[int, int], tuple[int, int], str]] = [
        ((5, 5, 64), 8, (1, 1), (1, 1), "mve pointwise"),
        ((3, 5, 8), 7, (1, 1), (1, 1), "mve pointwise"),
        ((3, 5, 16), 7, (1, 1), (1, 1), "mve pointwise"),
        ((3, 5, 12), 6, (1, 1), (1, 1), "mve pointwise, wide"),
        ((2, 7, 53), 5, (1, 1), (1, 1), "mve pointwise"),
        ((2, 4, 288), 6, (1, 1), (1, 1), "mve pointwise"),
        ((2, 4, 269), 5, (1, 1), (1, 1), "mve dense"),
        ((1, 2, 77), 21, (1, 1), (1, 1), "mve pointwise, wide"),
        ((1, 1, 160), 8, (1, 1), (1, 1), "mve dense"),
        ((7, 9, 16), 6, (3, 3), (1, 1), "mve column rows"),
        ((7, 9, 32), 5, (3, 3), (2, 2), "mve column rows"),
        ((5, 6, 80), 4, (3, 3), (1, 1), "mve column rows"),
        ((5, 24, 12), 8, (2, 4), (1, 1), "mve flat rows"),
        ((20, 5, 1), 12, (10, 4), (2, 2), "mve im2col"),
        ((3, 3, 40), 6, (3, 3), (1, 1), "mve im2col"),
        ((7, 9, 32), 5, (1, 1), (2, 2), "mve direct im2col"),
        ((9, 8, 16), 24, (3, 2), (3, 2), "mve direct im2col, wide"),
        ((9, 24, 3), 16, (3, 3), (3, 3), "mve direct im2col, wide"),
        ((6, 12, 7), 6, (3, 3), (3, 3), "mve direct im2col, wide"),
        ((2, 4, 64), 8, (1, 1), (1, 1), "mve pointwise, wide"),
        ((1, 5, 64), 64, (1, 1), (1, 1), "mve pointwise, wide"),
    ]
    return [
        (convolution(generator, image, channels, kernel, strides=strides), way)
        for image, channels, kernel, strides, way in shapes
    ]


@pytest.mark.parametrize("seed", range(2))
def test_random_convolutions_are_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    cases = [random_convolution(generator) for _ in range(20)]
    module = assert_layers_exact(cases, TARGET)
    # Others take over for images of less than four outputs and where rounding once has no fit.
    assert sum(layer.schedule.startswith("mve") for layer in module.compiled.model.layers) >= 15


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_way_is_exact(compiler: str) -> None:
    cases = ways(np.random.default_rng(5))
    module = assert_layers_exact([case for case, _ in cases], f"{TARGET} -compiler={compiler}")
    taken = {layer.name: layer.schedule for layer in module.compiled.model.layers}
    assert taken == {f"conv2d_{index}": way for index, (_, way) in enumerate(cases)}


@pytest.mark.parametrize("rounding", ["double", "away"])
def test_every_epilogue_is_exact(rounding: str) -> None:
    generator = np.random.default_rng(6)
    cases = [with_rounding(case, rounding) for case, _ in ways(generator)]
    for case in cases[::2]:
        case.attrs.update(zero_point=-100, clamp_min=-100, clamp_max=77)  # type: ignore[attr-defined]
    for case in cases[1::2]:
        case.attrs.update(zero_point=5, clamp_min=-128, clamp_max=127)  # type: ignore[attr-defined]
    assert_layers_exact(cases, TARGET)


def test_windows_of_an_image_read_nothing_behind_its_last_row() -> None:
    # Segments of 9 bytes, and of 16 and 5.
    for segment, pieces in ((9, 1), (21, 2)):
        windows = Windows(3, 69, 1, 3, segment, 6, -(-3 * segment // 4) * 4, inside=True)
        source = im2col_kernel(windows).source
        loads = [line for line in source.splitlines() if "vldrb" in line]
        assert len(loads) == 3 * pieces
        # The last piece of the last row; what is read too much of the others are pixels of the rows below.
        assert ["vldrbt" in line for line in loads] == [False] * (3 * pieces - 1) + [True]
        assert f"#{segment % 16}" in source.split("vctp.8")[0].rsplit("movs r3", 1)[1]


def test_extreme_values_are_exact() -> None:
    generator = np.random.default_rng(7)
    cases = [
        extreme(random_rounding(generator, case), data, weight, shift)
        for case, _ in ways(generator)[::2]
        for data, weight, shift in ((-128, 127, -2), (-128, -127, -22), (127, 127, -5))
    ]
    assert_layers_exact(cases, TARGET)


def test_few_pixels_of_any_depth_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of all sizes, unrolled and with a loop over taps, all channels in each."""
    generator = np.random.default_rng(4)
    depths = (5, 16, 40, 31, 72, 100, 128)
    cases = [
        convolution(generator, (1, 5 + k % 2, depth), 32 + 16 * (k % 3), (1, 1))
        for k, depth in enumerate(depths)
    ]
    deep = (
        (7, 320, 65),
        (14, 320, 128),
        (5, 320, 64),
        (12, 576, 70),
        (6, 960, 64),
        (7, 288, 64),
        (9, 272, 48),
    )
    cases += [convolution(generator, (1, width, depth), channels, (1, 1)) for width, depth, channels in deep]
    cases = [random_rounding(generator, case) for case in cases]
    monkeypatch.setattr(conv2d_mve, "_WAYS", (pointwise_mve.plan_pointwise,))
    module = assert_layers_exact(cases, f"{TARGET} -opt=speed")
    names = "\n".join(module.compiled.model.micro_kernels)
    assert all(f"deep_tile_{pixels}_by" in names for pixels in (1, 2, 3, 4))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_pixels_left_of_tiles_are_exact_one_by_one(monkeypatch: pytest.MonkeyPatch, compiler: str) -> None:
    """One to three pixels left, of taps in half a vector and in many, with channels left of eight; as estimated."""
    generator = np.random.default_rng(11)
    shapes = (
        *((5, 8, 48), (6, 8, 9), (7, 5, 16), (9, 3, 10), (5, 12, 29)),
        *((5, 16, 95), (7, 24, 24), (6, 24, 15), (5, 64, 16), (11, 72, 8), (5, 100, 17)),
        *((6, 144, 24), (5, 136, 8), (5, 250, 11), (7, 31, 22), (5, 256, 16)),
    )
    cases = [
        random_rounding(generator, convolution(generator, (1, width, depth), channels, (1, 1)))
        for width, depth, channels in shapes
    ]
    monkeypatch.setattr(conv2d_mve, "_WAYS", (pointwise_mve.plan_pointwise,))
    monkeypatch.setattr(
        pointwise_mve, "wide_rows", lambda *shape: [row for row in wide_rows(*shape) if row.lone]
    )
    # More than any of them has, so that none is a strip.
    monkeypatch.setattr(pointwise_mve, "TILE", 64)
    module = assert_layers_exact(cases, f"{TARGET} -compiler={compiler}")
    _, report = module.run([case.arrays[0] for case in cases], profile=True)
    for layer, ran in zip(module.compiled.model.layers, report.layers, strict=True):
        (taken,) = (way for way in layer.alternatives if way.taken)
        assert taken.instructions == pytest.approx(ran.instructions, rel=0.01), layer.name


@pytest.mark.parametrize(
    ("image", "channels", "kernel", "strides", "per_product", "scratch"),
    [
        ((25, 5, 64), 64, (1, 1), (1, 1), 0.155, 0),
        # One row of a few pixels, as streamed plans have it.
        ((1, 5, 64), 64, (1, 1), (1, 1), 0.19, 0),
        ((1, 7, 96), 16, (1, 1), (1, 1), 0.17, 0),
        ((6, 6, 128), 128, (1, 1), (1, 1), 0.15, 0),
        ((14, 14, 384), 64, (1, 1), (1, 1), 0.128, 0),
        ((48, 48, 8), 16, (1, 1), (1, 1), 0.48, 0),
        ((32, 32, 16), 16, (3, 3), (1, 1), 0.131, 1700),
        ((8, 8, 64), 64, (3, 3), (1, 1), 0.112, 2000),
        ((96, 96, 3), 8, (3, 3), (2, 2), 0.36, 2600),
        ((49, 10, 1), 64, (10, 4), (2, 2), 0.26, 2600),
    ],
)
def test_instructions_and_scratch(
    image: tuple[int, int, int],
    channels: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    per_product: float,
    scratch: int,
) -> None:
    case = convolution(np.random.default_rng(0), image, channels, kernel, strides=strides)
    # What most layers have: a ReLU with its zero at the lower end.
    case.attrs.update(zero_point=-128, clamp_min=-128, clamp_max=127)  # type: ignore[attr-defined]
    module = build_layers([case], TARGET)
    _, report = module.run([case.arrays[0]], profile=True)
    (layer,) = module.compiled.model.layers
    assert report.layers[0].instructions <= per_product * layer.macs
    assert sum(buffer.nbytes for buffer in layer.scratch) <= scratch


def test_estimates_are_close_to_what_runs() -> None:
    generator = np.random.default_rng(0)
    cases = [
        convolution(generator, (12, 12, 32), 16, (3, 3)),
        convolution(generator, (12, 12, 32), 16, (1, 1)),
        # Rows of streamed plans: whole tiles, tiles that overlap or are left over, and an odd last channel.
        convolution(generator, (1, 24, 16), 32, (1, 1)),
        convolution(generator, (1, 31, 16), 96, (1, 1)),
        convolution(generator, (1, 14, 53), 47, (1, 1)),
        convolution(generator, (1, 9, 8), 48, (1, 1)),
    ]
    module = build_layers(cases, f"{TARGET} -opt=speed")
    _, report = module.run([case.arrays[0] for case in cases], profile=True)
    for layer, count in zip(module.compiled.model.layers, report.layers, strict=True):
        (taken,) = (one for one in layer.alternatives if one.taken)
        close = 0.03 if taken.schedule == "mve pointwise, wide" else 0.1
        assert count.instructions == pytest.approx(taken.instructions, rel=close)
    assert sum(layer.schedule == "mve pointwise, wide" for layer in module.compiled.model.layers) >= 3
