"""Which reference decides what exact means, and that both agree where both may."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tvm_tinyml import frontend, reference
from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.errors import RunError
from tvm_tinyml.reference import reference_outputs

DIGITS = Path(__file__).parent / "models" / "digits.tflite"
needs_litert = pytest.mark.skipif(
    find_spec("ai_edge_litert") is None, reason="the oracle extra is not installed"
)


@pytest.fixture(scope="module")
def images() -> Array:
    with np.load(DIGITS.with_name("digits_golden.npz")) as golden:
        return np.asarray(golden["images"][:3])


@needs_litert
def test_litert_decides_under_its_own_rounding(images: Array) -> None:
    module, _ = frontend.from_tflite(DIGITS)
    with np.load(DIGITS.with_name("digits_golden.npz")) as golden:
        expected = golden["outputs"][:3]
    for image, output in zip(images, expected, strict=True):
        name, outputs = reference_outputs(module, DIGITS, [image[np.newaxis]], "litert")
        assert name == "litert"
        np.testing.assert_array_equal(outputs[0][0], output)


def test_numpy_decides_under_any_other_rounding(images: Array) -> None:
    module, _ = frontend.from_tflite(DIGITS)
    name, (output,) = reference_outputs(module, DIGITS, [images[:1]], "tflm")
    assert name == "numpy"
    assert output.shape == (1, 10)
    assert output.dtype == np.int8


def test_numpy_answers_without_litert_and_gives_the_same(
    images: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "find_spec", lambda _name: None)
    module, _ = frontend.from_tflite(DIGITS)
    name, (output,) = reference_outputs(module, DIGITS, [images[:1]], "litert")
    assert name == "numpy"
    with np.load(DIGITS.with_name("digits_golden.npz")) as golden:
        np.testing.assert_array_equal(output, golden["outputs"][:1])


@needs_litert
def test_a_model_litert_refuses_is_a_run_error(images: Array) -> None:
    module, _ = frontend.from_tflite(DIGITS)
    with pytest.raises(RunError, match=r"digits\.tflite: LiteRT"):
        reference_outputs(module, DIGITS, [images[0, :2]], "litert")
