"""Test sets: images and labels of a .npz file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvm_tinyml.errors import RunError

from .arrays import read_arrays
from .tensors import Array

IMAGES, LABELS = ("images", "x"), ("labels", "y")


@dataclass(frozen=True)
class Dataset:
    """images: [count, ...] in the type of the model's input; labels: [count], or None."""

    images: Array
    labels: Array | None


def read_dataset(file: Path, inputs: Sequence[Mapping[str, Any]], limit: int | None) -> Dataset:
    """Images and labels of a .npz file for a model with the given inputs.

    Real numbers are quantised where the model takes integers. Raises RunError when the file, its arrays or the
    model do not fit.
    """
    if len(inputs) != 1:
        raise RunError(f"a test set is for models with one input, this one has {len(inputs)}")
    arrays = read_arrays(file)
    images, labels = _find(arrays, IMAGES), _find(arrays, LABELS)
    if images is None:
        raise RunError(f"{file}: holds no array {' or '.join(map(repr, IMAGES))}")
    if labels is not None and not _are_labels(labels, len(images)):
        raise RunError(
            f"{file}: labels are {labels.dtype} {list(labels.shape)}, not one class number for each image"
        )
    count = len(images) if limit is None else min(limit, len(images))
    if not count:
        raise RunError(f"{file}: holds no images")
    converted = _as_input(file, images[:count], inputs[0])
    return Dataset(converted, None if labels is None else labels[:count].astype(np.int64))


def _are_labels(labels: Array, count: int) -> bool:
    return labels.shape == (count,) and labels.dtype.kind in "iu" and labels.min(initial=0) >= 0


def _find(arrays: Mapping[str, Array], names: Sequence[str]) -> Array | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _as_input(file: Path, images: Array, entry: Mapping[str, Any]) -> Array:
    shape, dtype = tuple(entry["shape"][1:]), np.dtype(entry["dtype"])
    if images.shape[1:] != shape or entry["shape"][0] != 1:
        raise RunError(
            f"{file}: images are {list(images.shape[1:])}, input {entry['name']!r} takes {list(shape)}; "
            "reshape or transpose them first"
        )
    if images.dtype == dtype:
        return images
    if images.dtype.kind == "f" and dtype.kind == "f":
        return images.astype(dtype)
    if images.dtype.kind == "f" and entry["scale"] > 0:
        limits = np.iinfo(entry["dtype"])
        steps = np.rint(images / entry["scale"]) + entry["zero_point"]
        quantized: Array = np.clip(steps, limits.min, limits.max).astype(dtype)
        return quantized
    raise RunError(
        f"{file}: images are {images.dtype}, input {entry['name']!r} takes {dtype}; convert them first, "
        "or store real numbers, which are quantised"
    )
