"""Calibration data: samples of real inputs, from which the ranges of all activations are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import RunError

Array: TypeAlias = npt.NDArray[Any]
Calibration: TypeAlias = "Mapping[str, Any] | Any"
"""Samples by the name of the input, or the samples of a single input."""

ONLY_INPUT = ("images", "x")
"""Names that mean the input of a model that has one, as in test sets."""


@dataclass(frozen=True)
class FloatInput:
    """An input of a float model; `shape` is that of one sample, the batch of 1 in front included."""

    name: str
    shape: tuple[int, ...]


def samples_of(calibration: Calibration, inputs: Sequence[FloatInput]) -> list[list[Array]]:
    """Inputs of one inference after the other, float32, in the model's order.

    calibration: arrays [count, ...] in the shape that the float model takes without its batch.
    Raises RunError when a name, type, shape, count or value is not what the model takes.
    """
    columns = [_column(array, entry) for array, entry in _paired(calibration, inputs)]
    counts = {entry.name: len(column) for entry, column in zip(inputs, columns, strict=True)}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name!r} {count}" for name, count in counts.items())
        raise RunError(f"inputs have different numbers of samples: {listed}; store one of each per inference")
    return [list(sample) for sample in zip(*columns, strict=True)]


def _paired(calibration: Calibration, inputs: Sequence[FloatInput]) -> list[tuple[Any, FloatInput]]:
    if not isinstance(calibration, Mapping):
        calibration = {inputs[0].name: calibration} if len(inputs) == 1 else {}
    single = ONLY_INPUT if len(inputs) == 1 else ()
    found = [
        next((calibration[name] for name in (entry.name, *single) if name in calibration), None)
        for entry in inputs
    ]
    if any(array is None for array in found):
        takes = ", ".join(repr(entry.name) for entry in inputs)
        other = f" (or {' or '.join(map(repr, ONLY_INPUT))})" if single else ""
        holds = ", ".join(map(repr, calibration)) or "no arrays"
        raise RunError(f"holds {holds}, the model takes {takes}{other}; name each array after its input")
    return list(zip(found, inputs, strict=True))


def _column(given: Any, entry: FloatInput) -> Array:
    """The samples of one input, [count, 1, ...]."""
    array = np.asarray(given)
    described = f"{array.dtype} {list(array.shape)}"
    wanted = f"input {entry.name!r} takes float32 [count, {', '.join(map(str, entry.shape[1:]))}]"
    if array.dtype.kind != "f":
        raise RunError(
            f"samples are {described}, {wanted}; store the real numbers that the float model takes"
        )
    if array.shape[1:] != entry.shape[1:] or not array.ndim:
        raise RunError(f"samples are {described}, {wanted}; reshape or transpose them first")
    if not len(array):
        raise RunError(f"samples are {described}: none at all; a few dozen real inputs are needed")
    with np.errstate(over="ignore"):
        samples: Array = array.astype(np.float32)
    if not np.isfinite(samples).all():
        bad = int(np.flatnonzero(~np.isfinite(samples).reshape(len(samples), -1).all(axis=1))[0])
        raise RunError(f"sample {bad} of input {entry.name!r} holds values that are not finite numbers")
    return samples[:, np.newaxis]
