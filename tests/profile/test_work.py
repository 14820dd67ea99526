"""Work by class of layer, and what takes the flash."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.invocation import DIGITS
from tvm_tinyml import relay
from tvm_tinyml.profile.cycles import CycleEstimate, LayerCycles
from tvm_tinyml.profile.work import FlashUse, Work, by_class, layer_work, slowdown_in_class
from tvm_tinyml.runner import LayerCount
from tvm_tinyml.runner.report import FlashReport


def layer(
    operator: str, source: str, shape: list[int], macs: int, constant_bytes: int = 10_000
) -> dict[str, Any]:
    return {
        "name": f"{operator}_{macs}",
        "operator": operator,
        "schedule": "plain",
        "inputs": [source],
        "output_tensor": f"{operator}_{macs}_output",
        "shape": shape,
        "macs": macs,
        "constant_bytes": constant_bytes,
    }


METADATA: dict[str, Any] = {
    "inputs": [{"name": "image", "shape": [1, 8, 8, 3]}],
    "outputs": [],
    "tensors": [{"name": "wide", "shape": [1, 8, 8, 32]}, {"name": "slim", "shape": [1, 8, 8, 8]}],
    "constant_bytes": 40_000,
    "layers": [
        layer("conv2d", "image", [1, 8, 8, 32], 64 * 32 * 27),
        layer("depthwise_conv2d", "wide", [1, 8, 8, 32], 64 * 32 * 9),
        layer("conv2d", "wide", [1, 8, 8, 48], 64 * 48 * 32),
        layer("conv2d", "slim", [1, 8, 8, 32], 64 * 32 * 8),
        layer("conv2d", "wide", [1, 8, 8, 16], 64 * 16 * 32),
        layer("dense", "wide", [1, 10], 2048 * 10, constant_bytes=20_000),
        layer("softmax", "wide", [1, 10], 0, constant_bytes=256),
    ],
}
COUNTS = [LayerCount(row["name"], "f", 2 * row["macs"] + 100) for row in METADATA["layers"]]


def estimate() -> CycleEstimate:
    layers = tuple(LayerCycles(one.name, one.function, 3 * one.instructions, 10) for one in COUNTS)
    return CycleEstimate(0, layers, "by hand", 0, 0)


def test_layers_are_classed_by_what_they_compute() -> None:
    classes = [one.layer_class for one in layer_work(METADATA, COUNTS, None)]
    assert classes == [
        "conv2d",
        "depthwise",
        "pointwise",
        "pointwise, narrow",
        "pointwise, narrow",
        "dense",
        "other",
    ]


def test_classes_add_up_what_their_layers_did() -> None:
    narrow = next(
        one
        for one in by_class(layer_work(METADATA, COUNTS, estimate()))
        if one.layer_class == "pointwise, narrow"
    )
    macs = 64 * 32 * 8 + 64 * 16 * 32
    assert narrow.layers == 2
    assert narrow.work == Work(macs, 2 * macs + 200, 3 * (2 * macs + 200), 20)
    assert narrow.work.instructions_per_mac == pytest.approx(2 + 200 / macs)


def test_without_an_estimate_there_is_no_share_of_the_peak() -> None:
    for one in by_class(layer_work(METADATA, COUNTS, None)):
        assert one.work.cycles is None
        assert one.work.peak_share("cortex-m4") is None


@pytest.mark.parametrize(
    ("core", "share"), [("cortex-m4", 0.25), ("cortex-m55", 0.0625), ("cortex-m3", None)]
)
def test_share_of_the_peak_is_that_of_the_core(core: str, share: float | None) -> None:
    work = Work(macs=1000, instructions=1500, cycles=2000, register_lists=500)
    assert work.peak_share(core) == share
    assert work.peak_share(core, with_register_lists=True) == (None if share is None else 0.8 * share)


def test_layers_are_compared_with_the_best_of_their_class() -> None:
    counts = [LayerCount(one.name, "f", 400) for one in COUNTS]
    slowdowns = slowdown_in_class(layer_work(METADATA, counts, None))
    assert slowdowns == [1.0, 1.0, 1.0, 2.0, 1.0, 1.0, None]


def test_flash_is_divided_into_code_and_constants() -> None:
    metadata = {"weight_constant_bytes": 600, "passes": [{"weight_bytes": 800}, {"weight_bytes": 500}]}
    use = FlashUse.of(metadata, FlashReport(text=1000, rodata=700, data=10))
    assert (use.code, use.constants, use.of_file) == (1110, 600, 800)
    # A peer's model file would hold what the passes leave: 500 bytes.
    assert use.beyond_file == 1210
    assert use.constants_ratio == 0.75
    assert FlashUse(1, 0, 0, 1).constants_ratio is None


def test_constants_of_a_real_model_are_those_of_its_products() -> None:
    module, _ = relay.frontend.from_tflite(DIGITS)
    metadata = relay.build(module, target="tinyml -mcpu=host").metadata
    tables = sum(row["constant_bytes"] for row in metadata["layers"] if not row["macs"])
    assert metadata["constant_bytes"] - metadata["weight_constant_bytes"] <= tables
    weights = metadata["passes"][-1]["weight_bytes"]
    # Multipliers and shifts are twice as large as scales.
    assert weights < metadata["weight_constant_bytes"] < 1.5 * weights
