"""Streamed convolutions that hand rows in planes to depthwise layers, on Cortex-M55: equal to the dialect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import relax

from tests.schedules.layers_rvv import convolution, depthwise
from tests.support.layers import LayerCase
from tvm_tinyml.dialect import call as make_call
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import TensorSpec, constant, tensor_type
from tvm_tinyml.lower import SIGNATURE_ATTR
from tvm_tinyml.module import AOTModule
from tvm_tinyml.patch import PatchPlan, Region
from tvm_tinyml.schedules import conv2d_mve, dense_mve, depthwise_rows_mve
from tvm_tinyml.schedules.depthwise_rows_mve import weights_in_lanes
from tvm_tinyml.schedules.intrinsics.mve.depthwise import LANES, Depthwise
from tvm_tinyml.schedules.intrinsics.mve.depthwise_narrow import NarrowRows
from tvm_tinyml.schedules.intrinsics.mve.depthwise_rows import PlaneRows, chunks_of, loads_of
from tvm_tinyml.schedules.intrinsics.mve.epilogue import Requantization
from tvm_tinyml.target import parse_target
from tvm_tinyml.target.config import STACK_BYTES

TARGET = "tinyml -mcpu=cortex-m55"
READER = "mve depthwise rows of planes"
WHOLE = 1 << 20
Pair = tuple[LayerCase, LayerCase, int, int, int]


def pair(
    generator: np.random.Generator,
    image: tuple[int, int, int],
    channels: int,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    same: bool = True,
    dilation: tuple[int, int] = (1, 1),
    window: tuple[int, int] = (1, 1),
    rows: tuple[int, int] = (1, 1),
    strip: int = WHOLE,
) -> Pair:
    """A convolution of `window` to `channels` channels, then a depthwise layer in strips; rows: of their calls."""
    first = convolution(generator, image, channels, window)
    height, width = image[:2]
    second = depthwise(
        generator, (height, width, channels), kernel, strides=strides, same=same, dilation=dilation
    )
    return first, second, *rows, strip


def assert_pairs_exact(pairs: Sequence[Pair], target: str = TARGET) -> AOTModule:
    """Run all pairs, each in a region of its own."""
    builder = relax.BlockBuilder()
    images = [first.arrays[0] for first, *_ in pairs]
    variables = [
        relax.Var(f"input_{k}", tensor_type(TensorSpec(image.shape, "int8")))
        for k, image in enumerate(images)
    ]
    edges = [{"name": f"input_{k}", "scale": 1.0, "zero_point": 0} for k in range(len(images))]
    signature = json.dumps({"name": "pairs", "inputs": edges, "outputs": []})
    regions, order, outputs, expected = [], [], [], []
    with builder.function("main", variables, attrs={SIGNATURE_ATTR: signature}):
        with builder.dataflow():
            for k, (first, second, *rows, strip) in enumerate(pairs):
                value: Any = variables[k]
                reference = images[k]
                names = [f"first_{k}", f"second_{k}"]
                for case, name in zip((first, second), names, strict=True):
                    attrs = {"scale": 1.0} | dict(case.attrs) | {"name": name, "tensor": f"t_{name}"}
                    last = case is second
                    emit = builder.emit_output if last else builder.emit
                    value = emit(make_call(case.name, [value, *map(constant, case.arrays[1:])], attrs))
                    reference = operator(case.name).reference((reference, *case.arrays[1:]), attrs)
                outputs.append(value)
                expected.append(reference)
                order += names
                regions.append(Region(tuple(names), strip, dict(zip(names, rows, strict=True))))
        builder.emit_func_output(outputs[0] if len(outputs) == 1 else relax.Tuple(outputs))
    plan = PatchPlan(tuple(order), tuple(regions))
    module = AOTModule(builder.get(), parse_target(target), patch=plan)
    found, _ = module.run(images, profile=False)
    for number, (ours, wanted) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_array_equal(ours, wanted, err_msg=str((number, pairs[number][1].attrs)))
    return module


def geometries(generator: np.random.Generator) -> list[Pair]:
    """Widths, channels, windows, strides and rows of a call that change how vectors, chunks and groups are cut."""
    return [
        pair(generator, (6, 5, 16), 64, (3, 3)),
        pair(generator, (7, 24, 16), 32, (3, 3)),
        pair(generator, (9, 19, 8), 11, (3, 3), strides=(2, 2)),
        pair(generator, (8, 48, 8), 16, (3, 3), strides=(2, 2), rows=(2, 1)),
        pair(generator, (9, 10, 24), 13, (5, 5), rows=(2, 2)),
        pair(generator, (11, 12, 16), 18, (7, 7), strides=(2, 2), rows=(1, 2)),
        pair(generator, (7, 7, 9), 8, (3, 3), dilation=(2, 2)),
        pair(generator, (9, 9, 16), 9, (3, 3), same=False),
        pair(generator, (10, 2, 16), 8, (3, 3), rows=(4, 4)),
        pair(generator, (9, 6, 16), 10, (3, 1), strides=(2, 1), rows=(3, 1)),
        pair(generator, (16, 6, 16), 9, (3, 3), rows=(5, 5)),
        pair(generator, (16, 6, 8), 16, (3, 3), rows=(3, 3)),
        pair(generator, (12, 20, 8), 8, (3, 3), rows=(3, 3)),
        pair(generator, (6, 9, 3), 24, (3, 3), window=(3, 3)),
        pair(generator, (6, 30, 16), 12, (1, 5), window=(3, 3)),
        pair(generator, (8, 17, 300), 10, (3, 3), rows=(1, 3)),
        pair(generator, (4, 7, 320), 64, (3, 3)),
        pair(generator, (9, 22, 16), 16, (3, 3), strip=5),
        pair(generator, (12, 23, 8), 19, (3, 3), strides=(2, 2), strip=4, rows=(2, 1)),
        pair(generator, (9, 20, 3), 12, (5, 5), strides=(2, 2), window=(3, 3), strip=4),
        # Pixels of many taps, left of tiles of four.
        pair(generator, (5, 9, 8), 25, (3, 3)),
        pair(generator, (5, 5, 72), 24, (3, 3)),
    ]


def test_every_geometry_is_exact() -> None:
    pairs = geometries(np.random.default_rng(1))
    module = assert_pairs_exact(pairs)
    taken = [layer.schedule for layer in module.compiled.model.layers if layer.name.startswith("second")]
    # Few outputs of large windows are scattered as cheaply.
    assert taken.count(READER) >= len(pairs) - 1


def test_rows_of_few_outputs_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """All counts of outputs, borders that take one or two instructions, ways to round and limits."""
    monkeypatch.setattr(depthwise_rows_mve, "_KERNELS", (NarrowRows,))
    generator = np.random.default_rng(5)
    shapes = [(width, (3, 3), (1, 1), (1, 1)) for width in range(1, 8)]
    shapes += [(10, (3, 3), (2, 2), (1, 1)), (9, (3, 1), (2, 2), (1, 1)), (3, (3, 3), (1, 1), (2, 1))]
    shapes += [(6, (1, 5), (1, 1), (1, 1)), (5, (3, 3), (2, 2), (1, 1))]
    borders, limits = (-128, 127, 0, 5), ((-128, 127), (-100, 90))
    pairs = []
    for number, (width, kernel, strides, rows) in enumerate(shapes):
        channels = (16, 44, 9)[number % 3]
        one = pair(generator, (6, width, 8), channels, kernel, strides=strides, rows=rows)
        low, high = limits[number % 5 == 4]
        one[1].attrs.update(clamp_min=low, clamp_max=high, input_zero_point=borders[number % 4])  # type: ignore[attr-defined]
        one[1].attrs.update(zero_point=(low, 3)[number % 2], rounding=("double", "single")[number % 7 == 6])  # type: ignore[attr-defined]
        pairs.append(one)
    module = assert_pairs_exact(pairs)
    taken = [layer.schedule for layer in module.compiled.model.layers if layer.name.startswith("second")]
    assert taken.count(READER) >= len(pairs) // 2


def test_constants_of_tall_calls_are_within_reach() -> None:
    assert_pairs_exact(
        [pair(np.random.default_rng(3), (40, 40, 8), 16, (3, 3), strides=(2, 2), rows=(20, 10))]
    )


def test_spare_rows_are_given_up_for_a_budget() -> None:
    generator = np.random.default_rng(5)
    pairs = [pair(generator, (24, 24, 16), 32, (3, 3))]
    (roomy,) = (module := assert_pairs_exact(pairs)).compiled.model.regions
    assert roomy.spare > 0
    least = module.metadata["memory"]["arena_bytes"] - roomy.spare_bytes("t_first_0")
    tight = assert_pairs_exact(pairs, f"{TARGET} -ram={least + STACK_BYTES}")
    (region,) = tight.compiled.model.regions
    assert region.spare == 0
    assert region.planes == {"t_first_0"}
    assert tight.metadata["memory"]["arena_bytes"] <= least


def test_spare_rows_are_given_up_for_the_bound_on_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [pair(np.random.default_rng(5), (24, 24, 16), 32, (3, 3))]
    roomy = assert_pairs_exact(pairs)
    most = roomy.metadata["memory"]["scratch_bytes"] - 1
    monkeypatch.setattr("tvm_tinyml.choose.STREAMED_SCRATCH_BYTES", most)
    tight = assert_pairs_exact(pairs)
    (before,), (region,) = roomy.compiled.model.regions, tight.compiled.model.regions
    assert region.spare < before.spare
    assert region.planes == {"t_first_0"}
    assert tight.metadata["memory"]["scratch_bytes"] <= most


def test_estimates_of_planes_are_true() -> None:
    generator = np.random.default_rng(2)
    module = assert_pairs_exact([pair(generator, (12, 24, 16), 32, (3, 3))], f"{TARGET} -opt=speed")
    (region,) = module.compiled.model.regions
    assert region.planes == {"t_first_0"}
    _, report = module.run([generator.integers(-128, 127, (1, 12, 24, 16), np.int8)])
    second = module.compiled.model.layers[1]
    estimate = next(one.instructions for one in second.alternatives if one.taken)
    assert estimate is not None
    # Rows that move on before the convolution's next call are counted with the layer called before.
    (moving,) = (one.moved_bytes for one in module.compiled.model.regions)
    assert estimate <= report.layers[1].instructions <= 1.03 * estimate + 0.22 * moving
    assert report.layers[1].instructions <= 0.66 * second.macs


@st.composite
def kernels(draw: st.DrawFn) -> PlaneRows:
    """Micro-kernels of any geometry that vectors hold."""
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    strides, dilation = (draw(st.tuples(st.integers(1, most), st.integers(1, most))) for most in (3, 2))
    width, height = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    beyond = (kernel[1] - 1) * dilation[1]
    left, right = draw(st.integers(0, beyond)), draw(st.integers(0, beyond))
    columns = max(1, (width - 1) * strides[1] + beyond + 1 - left - right)
    rows = (height - 1) * strides[0] + (kernel[0] - 1) * dilation[0] + 1
    how = Requantization("relu", -128, 127)
    tile = Depthwise(height, width, kernel, strides, dilation, columns, rows * columns, 1, how, "planes")
    return PlaneRows(tile, left, -7)


@given(kernels(), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_vectors_of_taps_are_windows_and_stay_inside_the_planes(rows: PlaneRows, seed: int) -> None:
    lanes, tile = rows.lanes, rows.tile
    if lanes is None:
        return
    generator = np.random.default_rng(seed)
    plane = generator.integers(-128, 128, (tile.size // tile.pitch, tile.pitch))
    weight = generator.integers(-128, 128, (*tile.kernel, 1)).astype(np.int8)
    packed = weights_in_lanes(weight, lanes).astype(np.int64)
    sums = np.zeros(rows.outputs, np.int64)
    for start, count in chunks_of(rows):
        for load in loads_of(rows, lanes, start, count):
            places = load.position + np.array(lanes.tap_offsets())
            valid = np.array([not load.invalid >> lane & 1 for lane in range(LANES)])
            assert all(0 <= place < tile.size for place in places[valid])
            taps = np.where(valid, plane.ravel()[places.clip(0, tile.size - 1)], rows.border)
            for output, vector, first in load.products:
                begin = LANES - vector * lanes.sharing_step if lanes.outputs > 1 else LANES * (1 + vector)
                sums[start + output] = taps @ packed[begin:][:LANES] + (0 if first else sums[start + output])
    for output in range(rows.outputs):
        y, x = divmod(output, tile.width)
        expected = 0
        for ky, kx in np.ndindex(*tile.kernel):
            column = x * tile.strides[1] + kx * tile.dilation[1] - rows.left
            row = y * tile.strides[0] + ky * tile.dilation[0]
            value = plane[row, column] if 0 <= column < tile.pitch else rows.border
            expected += int(value) * int(weight[ky, kx, 0])
        assert sums[output] == expected


def test_rows_times_a_matrix_are_stored_in_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv2d_mve, "_WAYS", (dense_mve.plan_dense,))
    generator = np.random.default_rng(4)
    module = assert_pairs_exact(
        [
            pair(generator, (5, 5, 24), 44, (3, 3)),
            pair(generator, (6, 9, 32), 16, (3, 3)),
            pair(generator, (5, 4, 7), 11, (3, 3), rows=(2, 1)),
        ]
    )
    assert [layer.schedule for layer in module.compiled.model.layers] == ["mve dense", READER] * 3
    assert all(region.planes for region in module.compiled.model.regions)
