"""Whole models, from the file to the emulated core: bit-exact with LiteRT's reference kernels everywhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.oracle import random_inputs, require_oracle, run_reference
from tvm_tinyml import relay
from tvm_tinyml.frontend.tflite import tensor_names

OWN = Path(__file__).resolve().parents[1] / "models" / "digits.tflite"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "models"
BORROWED = ("kws_int8", "vww_int8", "ic_int8", "ad01_int8", "sww_int8", "mcunet_vww_80")
LARGE = "tf2_mobilenet_v2_1.0_224_ptq"
CORES = ("cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "rv32imc")
# The microbit has 16 KiB of RAM and 256 KiB of flash; these are the models whose arena and weights fit.
FIT_MICROBIT = ("digits", "sww_int8")
SEEDS = range(5)


def model_path(name: str) -> Path:
    path = OWN if name == "digits" else SHARED / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"{path.name} is not part of the project and not at hand")
    return path


@cache
def reference(name: str, seed: int) -> tuple[list[Any], Any]:
    path = model_path(name)
    inputs = random_inputs(path, seed)
    return inputs, run_reference(path, inputs)


@cache
def imported(name: str) -> Any:
    module, params = relay.frontend.from_tflite(model_path(name))
    assert params == {}
    return module


@pytest.mark.parametrize("name", ["digits", *BORROWED, pytest.param(LARGE, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "target",
    ["tinyml -mcpu=host", "tinyml -mcpu=host -without=FoldConstantChannels,FoldPad"],
    ids=["default", "kept"],
)
def test_every_intermediate_tensor_equals_litert(name: str, target: str) -> None:
    require_oracle()
    names = tensor_names(model_path(name))
    module = relay.build(imported(name), target=target)
    for seed in SEEDS:
        inputs, expected = reference(name, seed)
        tensors = module.tensors(inputs)
        compared = 0
        for index, value in expected.tensors.items():
            # LiteRT shows temporaries of its own beside the tensors of the file.
            if names.get(index) in tensors:
                np.testing.assert_array_equal(tensors[names[index]], value, err_msg=names[index])
                compared += 1
        # Layers that lost constant channels make tensors the source model does not have.
        assert compared >= sum(layer.output in names.values() for layer in module.compiled.model.layers)


def _core_cases() -> list[Any]:
    small = [
        pytest.param(name, core, id=f"{name}-{core}")
        for name in ("digits", *BORROWED)
        for core in ("host", "cortex-m0", *CORES)
        if core != "cortex-m0" or name in FIT_MICROBIT
    ]
    large = [
        pytest.param(LARGE, core, id=f"{LARGE}-{core}", marks=pytest.mark.slow)
        for core in ("host", "cortex-m7", "cortex-m55")
    ]
    return small + large


@pytest.mark.parametrize(("name", "core"), _core_cases())
def test_outputs_equal_litert_on_every_core(name: str, core: str) -> None:
    require_oracle()
    batches = [reference(name, seed) for seed in SEEDS]
    module = relay.build(imported(name), target=f"tinyml -mcpu={core}")
    report = module.run_many([inputs for inputs, _ in batches], profile=name != LARGE)
    for outputs, (_, expected) in zip(report.outputs, batches, strict=True):
        for output, wanted in zip(outputs, expected.outputs, strict=True):
            np.testing.assert_array_equal(output, wanted)


def test_digits_golden_outputs_on_the_emulated_m55() -> None:
    with np.load(OWN.parent / "digits_golden.npz") as golden:
        images, outputs = golden["images"][:20], golden["outputs"][:20]
    module = relay.build(imported("digits"), target="tinyml -mcpu=cortex-m55")
    report = module.run_many([image[np.newaxis] for image in images])
    np.testing.assert_array_equal(np.concatenate([o[0] for o in report.outputs]), outputs)


@pytest.mark.parametrize("name", ["digits", *BORROWED, LARGE])
def test_the_arena_is_within_one_percent_of_the_lower_bound(name: str) -> None:
    compiled = relay.build(imported(name), target="tinyml -mcpu=cortex-m4").compiled
    # An output that may begin where an input does may lie nowhere else near it; the bound assumes that it may.
    is_loose = any(one.same_place for step in compiled.program.steps for one in step.inplace)
    assert compiled.plan.arena_bytes <= (1.03 if is_loose else 1.01) * compiled.plan.lower_bound
