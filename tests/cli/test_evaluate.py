"""`evaluate`: a test set on a core, its figures and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.invocation import DIGITS, HOST, M4, refuse, succeed

GOLDEN = DIGITS.with_name("digits_golden.npz")


def test_figures_are_those_of_the_golden_outputs() -> None:
    golden = np.load(GOLDEN)
    document = succeed("evaluate", DIGITS, "--data", GOLDEN, "--target", HOST, "--json").document
    answers, labels = golden["outputs"].argmax(axis=1), golden["labels"]
    assert document["images"] == document["equal_outputs"] == len(labels)
    assert document["agreement"] == 1.0
    assert document["accuracy"] == pytest.approx((answers == labels).mean())
    confusion = np.array(document["confusion"])
    assert confusion.sum() == len(labels)
    assert confusion.trace() == (answers == labels).sum()
    assert (confusion.sum(axis=1) == np.bincount(labels)).all()


def test_an_emulated_core_counts_instructions() -> None:
    document = succeed(
        "evaluate", DIGITS, "--data", GOLDEN, "--target", M4, "--limit", "3", "--json"
    ).document
    assert (document["images"], document["equal_outputs"]) == (3, 3)
    assert document["instructions"] > 100_000
    text = succeed("evaluate", DIGITS, "--data", GOLDEN, "--target", HOST, "--limit", "2").stdout
    assert "same outputs, bit by bit" in text


def test_real_numbers_are_quantised_and_labels_may_be_missing(tmp_path: Path) -> None:
    import json

    from tvm_tinyml.frontend import from_tflite

    module, _ = from_tflite(DIGITS)
    (entry,) = json.loads(module["main"].attrs["tinyml.signature"])["inputs"]
    images = np.load(GOLDEN)["images"][:4]
    np.savez(tmp_path / "real.npz", x=(images.astype("float32") - entry["zero_point"]) * entry["scale"])
    real = succeed("evaluate", DIGITS, "--data", tmp_path / "real.npz", "--target", HOST, "--json").document
    assert (real["images"], real["accuracy"], real["confusion"]) == (4, None, None)
    assert real["equal_outputs"] == 4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((2, 16, 16, 1), "int8")}, "holds no array 'images' or 'x'"),
        ({"images": np.zeros((2, 1, 16, 16), "int8")}, "reshape or transpose them first"),
        ({"images": np.zeros((2, 16, 16, 1), "uint8")}, "images are uint8"),
        ({"images": np.zeros((0, 16, 16, 1), "int8")}, "holds no images"),
        (
            {"images": np.zeros((2, 16, 16, 1), "int8"), "labels": np.zeros(3, "int64")},
            "not one class number for each",
        ),
        (
            {"images": np.zeros((2, 16, 16, 1), "int8"), "labels": np.array([0, -1])},
            "not one class number for each",
        ),
        ({"images": np.array([{}], object)}, "not a readable .npz file"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)  # type: ignore[arg-type]
    assert message in refuse("evaluate", DIGITS, "--data", tmp_path / "data.npz", "--target", HOST)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_text("no")
    assert "not a readable .npz file" in refuse(
        "evaluate", DIGITS, "--data", tmp_path / "data.npz", "--target", HOST
    )
    assert "no such file" in refuse("evaluate", DIGITS, "--data", tmp_path / "none.npz", "--target", HOST)
