"""Models of which an Ethos-U computes a part are exact, on the host and on the emulated Cortex-M55."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.oracle import random_inputs
from tests.support.single_ops import all_cases
from tvm_tinyml import relay
from tvm_tinyml.errors import ModelError, PlanError, RunError, TargetError
from tvm_tinyml.reference import reference_outputs
from tvm_tinyml.relay import AOTModule
from tvm_tinyml.transform import DeadCode, FoldConstants

pytest.importorskip("ethosu", reason="ethos-u-vela is not installed (pip install 'tvm-tinyml[ethosu]')")

DIGITS = Path(__file__).parents[1] / "models" / "digits.tflite"
MIXED = "-npu-ignore=SOFTMAX,AVERAGE_POOL_2D"


@cache
def built(options: str, core: str = "host", model: Path = DIGITS) -> AOTModule:
    module, _ = relay.frontend.from_tflite(model)
    return relay.build(module, target=f"tinyml -mcpu={core} {options}")


def inputs_of(count: int) -> list[list[npt.NDArray[Any]]]:
    return [random_inputs(DIGITS.read_bytes(), seed) for seed in range(count)]


def assert_exact(module: AOTModule, batches: Sequence[list[npt.NDArray[Any]]]) -> None:
    report = module.run_many(batches, profile=False)
    for batch, outputs in zip(batches, report.outputs, strict=True):
        _, expected = reference_outputs(module.relax_module, None, batch, "tflm")
        for output, wanted in zip(outputs, expected, strict=True):
            np.testing.assert_array_equal(output, wanted)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ("-npu=ethos-u55-128", 20),
        (f"-npu=ethos-u65-256 {MIXED}", 20),
        ("-npu=ethos-u55-256 -npu-memory=sram-only -npu-ignore=SOFTMAX,FULLY_CONNECTED -io=caller", 2),
    ],
)
def test_offloaded_models_are_exact(options: str, count: int) -> None:
    module = built(options)
    assert_exact(module, inputs_of(count))


def test_the_firmware_with_the_functional_model_is_exact() -> None:
    module = built(f"-npu=ethos-u55-128 {MIXED}", "cortex-m55")
    assert_exact(module, inputs_of(1))


def test_what_vela_accepts_is_one_network_and_the_rest_is_on_the_cpu() -> None:
    whole, mixed = built("-npu=ethos-u55-128"), built(f"-npu=ethos-u55-128 {MIXED}", "cortex-m55")
    assert len(whole.metadata["npu"]["networks"]) == 1
    assert whole.metadata["npu"]["on_cpu"] == []
    placement = mixed.metadata["npu"]
    on_cpu = {one["operator"].split()[2] for one in placement["on_cpu"]}
    assert on_cpu == {"SOFTMAX", "AVERAGE_POOL_2D"}
    assert {layer["operator"] for layer in mixed.metadata["layers"]} >= {
        "ethosu",
        "softmax",
        "avg_pool2d",
    }
    total = sum(len(one["operators"]) for one in placement["networks"]) + len(placement["on_cpu"])
    assert total == len(whole.metadata["npu"]["networks"][0]["operators"])
    for network in placement["networks"]:
        assert network["estimated_by_vela"]["cycles"] > 0


def test_tensors_of_the_npu_lie_at_multiples_of_16_bytes() -> None:
    module = built("-npu=ethos-u65-256 -npu-memory=dedicated-sram", "cortex-m4")
    assert module.config.alignment == 16
    for tensor in module.metadata["tensors"]:
        if tensor["view_of"] is None:
            assert tensor["offset"] % 16 == 0


def test_an_input_that_is_kept_does_not_lie_where_the_npu_works() -> None:
    held, kept = built("-npu=ethos-u55-128"), built("-npu=ethos-u55-128 -input=kept")
    assert kept.metadata["arena_bytes"] >= held.metadata["arena_bytes"] + held.metadata["inputs"][0]["bytes"]
    assert_exact(kept, inputs_of(1))


def test_reasons_are_those_of_vela() -> None:
    (case,) = [one for one in all_cases() if one.operator == "TRANSPOSE_CONV" and "7x9" in one.id][:1]
    module, _ = relay.frontend.from_tflite(case.model_bytes)
    found = relay.build(module, target="tinyml -mcpu=host -npu=ethos-u55-128").metadata["npu"]
    assert found["networks"] == []
    assert "OFM must be equal to IFM * stride" in found["on_cpu"][0]["reason"]


def test_another_rounding_is_warned_about_with_the_operators_concerned() -> None:
    (warning,) = built("-npu=ethos-u55-128 -rounding=litert").metadata["npu"]["warnings"]
    assert "FULLY_CONNECTED" in warning
    assert "CONV_2D" not in warning
    assert built("-npu=ethos-u55-128").metadata["npu"]["warnings"] == []


def test_u85_is_compiled_for_and_not_run() -> None:
    module = built("-npu=ethos-u85-128", "cortex-m85")
    assert module.metadata["npu"]["networks"][0]["command_bytes"] > 0
    with pytest.raises(RunError, match="Another instruction set"):
        module.run_many(inputs_of(1), board="host")


def test_a_project_carries_a_stand_in_for_the_driver_where_it_runs(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    project = built("-npu=ethos-u55-128").export_project(tmp_path / "make", "make")
    subprocess.run(["make", "run"], cwd=project, check=True, capture_output=True)
    other = built("-npu=ethos-u85-128", "cortex-m85").export_project(tmp_path / "u85", "make")
    assert not (other / "npu").exists()


def test_an_operator_to_ignore_has_to_exist() -> None:
    with pytest.raises(TargetError, match="SOFTMAKS: not a TFLite operator"):
        built("-npu=ethos-u55-128 -npu-ignore=SOFTMAKS")


def test_a_module_that_was_changed_is_refused() -> None:
    module, _ = relay.frontend.from_tflite(DIGITS)
    with pytest.raises(PlanError, match="as the importer gave it"):
        relay.build(DeadCode()(FoldConstants()(module)), target="tinyml -mcpu=host -npu=ethos-u55-128")


def test_without_vela_there_is_one_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "ethosu" else find(name, *rest)
    )
    module, _ = relay.frontend.from_tflite(DIGITS)
    with pytest.raises(ModelError, match=r"tvm-tinyml\[ethosu\]"):
        relay.build(module, target="tinyml -mcpu=cortex-m55 -npu=ethos-u55-128")
