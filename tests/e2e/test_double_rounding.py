"""`-rounding=tflm`: every product rounded twice, checked against stored outputs of tflite-runtime 2.14."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.single_ops import fully_connected
from tvm_tinyml import relay

MODELS = Path(__file__).resolve().parents[1] / "models"
CASES = {case.id: case.model_bytes for case in fully_connected.cases()}


@cache
def vectors() -> dict[str, npt.NDArray[np.int8]]:
    with np.load(MODELS / "double_rounding_golden.npz") as golden:
        return dict(golden)


def recorded() -> list[str]:
    return sorted({key.rsplit("/", 1)[0] for key in vectors()})


def outputs(model: bytes, name: str, rounding: str) -> npt.NDArray[np.int8]:
    module, _ = relay.frontend.from_tflite(model)
    built = relay.build(module, target=f"tinyml -mcpu=host -rounding={rounding}")
    result: npt.NDArray[np.int8] = built.run(vectors()[f"{name}/input"]).outputs[0]
    return result


@pytest.mark.parametrize("name", recorded())
def test_fully_connected_rounds_twice(name: str) -> None:
    np.testing.assert_array_equal(outputs(CASES[name], name, "tflm"), vectors()[f"{name}/output"])


def test_the_two_roundings_are_told_apart() -> None:
    changed = [n for n in recorded() if (outputs(CASES[n], n, "litert") != vectors()[f"{n}/output"]).any()]
    assert changed


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55", "rv32imc"])
def test_an_emulated_core_rounds_twice(core: str) -> None:
    name = recorded()[0]
    module, _ = relay.frontend.from_tflite(CASES[name])
    built = relay.build(module, target=f"tinyml -mcpu={core} -rounding=tflm")
    outputs_on_core, _ = built.run(vectors()[f"{name}/input"], profile=False)
    np.testing.assert_array_equal(outputs_on_core[0], vectors()[f"{name}/output"])
