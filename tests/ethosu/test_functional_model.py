"""The functional model computes what TFLite does, for models and single operators that Vela compiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ethosu.networks import compiled, compiled_all, wrong_outputs
from tests.support.single_ops import all_cases
from tvm_tinyml.ethosu import ACCELERATORS

DIGITS = Path(__file__).parents[1] / "models" / "digits.tflite"
SHARED = Path(__file__).parents[3] / "shared" / "models"

# Vela compiles this one to a stream that writes a third of its output.
MISCOMPILED = {"strided_slice-1x5x4-0_0_1_0-1_1_4_3-1_1_1_1-new_axis2"}
# Every how manyth case runs on which accelerator.
STEP = 45


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_digits_equal_the_reference(accelerator: str) -> None:
    model = DIGITS.read_bytes()
    network = compiled(model, accelerator)
    assert network is not None
    assert wrong_outputs(model, network, range(20)) == 0


@pytest.mark.parametrize("name", ["kws_int8", "sww_int8", "ad01_int8"])
def test_published_models_equal_the_reference(name: str) -> None:
    path = SHARED / f"{name}.tflite"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    for accelerator in ("ethos-u55-128", "ethos-u65-256"):
        network = compiled(path.read_bytes(), accelerator)
        assert network is not None
        assert wrong_outputs(path.read_bytes(), network, range(1)) == 0


@pytest.mark.parametrize(("position", "accelerator"), list(enumerate(ACCELERATORS)))
def test_single_operators_equal_the_reference(position: int, accelerator: str) -> None:
    ran = 0
    cases = all_cases()[position::STEP]
    networks = compiled_all([case.model_bytes for case in cases], accelerator)
    for case, network in zip(cases, networks, strict=True):
        if network is None or case.id in MISCOMPILED:
            continue
        assert wrong_outputs(case.model_bytes, network, range(1)) == 0, case.id
        ran += 1
    assert ran > len(all_cases()) / STEP / 2
