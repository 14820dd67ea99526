"""Calibration data are samples of what the model takes, or refused with what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvm_tinyml.errors import RunError
from tvm_tinyml.quantization import FloatInput, samples_of

IMAGE = FloatInput("image", (1, 3, 4, 5))
OTHER = FloatInput("other", (1, 2))
GOOD = np.ones((6, 3, 4, 5))


@pytest.mark.parametrize("given", [GOOD, {"image": GOOD}, {"x": GOOD}, {"images": GOOD, "labels": [1]}])
def test_samples_come_one_by_one_in_single_precision(given: Any) -> None:
    samples = samples_of(given, [IMAGE])
    assert [(one.dtype, one.shape) for sample in samples for one in sample] == [
        (np.dtype("float32"), (1, 3, 4, 5))
    ] * 6


def test_several_inputs_are_paired_by_name() -> None:
    pairs = samples_of({"other": np.zeros((6, 2), "f"), "image": GOOD}, [IMAGE, OTHER])
    assert [[one.shape for one in pair] for pair in pairs] == [[(1, 3, 4, 5), (1, 2)]] * 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pictures": GOOD}, r"holds 'pictures', the model takes 'image' \(or 'images' or 'x'\)"),
        ({}, "holds no arrays, the model takes 'image'"),
        (GOOD.transpose(0, 2, 3, 1), r"float64 \[6, 4, 5, 3\], input 'image' takes .*\[count, 3, 4, 5\]"),
        (np.float64(1), r"float64 \[\]"),
        (GOOD.astype("uint8"), "samples are uint8 .*store the real numbers"),
        (np.array(["a"]), "store the real numbers"),
        (GOOD[:0], "none at all"),
        (np.where(np.arange(6).reshape(-1, 1, 1, 1) == 4, np.nan, GOOD), "sample 4 .* not finite"),
        (GOOD * 1e300, "sample 0 .* not finite"),
    ],
)
def test_what_does_not_fit_is_refused(given: Any, message: str) -> None:
    with pytest.raises(RunError, match=message):
        samples_of(given, [IMAGE])


def test_inputs_must_have_as_many_samples() -> None:
    with pytest.raises(RunError, match="'image' 6, 'other' 5"):
        samples_of({"image": GOOD, "other": np.zeros((5, 2))}, [IMAGE, OTHER])
    with pytest.raises(RunError, match="holds no arrays, the model takes 'image', 'other'"):
        samples_of(GOOD, [IMAGE, OTHER])
