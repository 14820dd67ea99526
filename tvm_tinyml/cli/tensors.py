"""Model inputs from .npy files or from a seed, and outputs to .npy files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_tinyml.errors import RunError

Array = npt.NDArray[Any]
Description = Mapping[str, Any]


def read_inputs(files: Sequence[Path], inputs: Sequence[Description]) -> list[Array]:
    """Arrays of one inference, one .npy file per model input in order.

    inputs: the signature's descriptions (name, dtype, shape).
    Raises RunError when their number, a file, an element type or a shape is wrong.
    """
    if len(files) != len(inputs):
        takes = ", ".join(f"{entry['name']!r}" for entry in inputs)
        raise RunError(
            f"--input is given {len(files)} times, the model takes {len(inputs)} inputs: {takes}; "
            "pass one .npy file per input, in this order"
        )
    return [_read(file, entry) for file, entry in zip(files, inputs, strict=True)]


def _read(file: Path, entry: Description) -> Array:
    try:
        # Mapped, so that a header that promises terabytes costs nothing.
        value = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise RunError(f"{file}: no such file; pass a .npy file") from None
    except (OSError, ValueError, EOFError) as error:
        raise RunError(f"{file}: not a readable .npy file ({error}); write it with numpy.save") from None
    if not isinstance(value, np.ndarray):
        raise RunError(f"{file}: holds several arrays; pass one .npy file per input")
    dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    if value.dtype != dtype or value.shape != shape:
        raise RunError(
            f"{file}: holds {value.dtype} {list(value.shape)}, input {entry['name']!r} takes "
            f"{dtype} {list(shape)}; convert or reshape it first"
        )
    return np.array(value)


def random_inputs(inputs: Sequence[Description], seed: int) -> list[Array]:
    """Inputs over the full range of each integer type, and standard normal ones where a model takes floats."""
    generator = np.random.default_rng(seed)
    arrays: list[Array] = []
    for entry in inputs:
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        if dtype.kind == "f":
            arrays.append(generator.normal(0.0, 1.0, shape).astype(dtype))
        else:
            limits = np.iinfo(entry["dtype"])
            arrays.append(generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True))
    return arrays


def mismatches(outputs: Sequence[Array], expected: Sequence[Array]) -> list[int]:
    """Number of elements in which each output differs from what is expected, bit by bit."""
    return [_mismatches(got, want) for got, want in zip(outputs, expected, strict=True)]


def _mismatches(got: Array, want: Array) -> int:
    if (got.dtype, got.shape) != (want.dtype, want.shape):
        return int(want.size)
    return int(np.count_nonzero(_bits(got) != _bits(want)))


def _bits(value: Array) -> Array:
    """Elements as unsigned integers, so that signed zeros and NaNs are compared like everything else."""
    return np.ascontiguousarray(value).view(f"u{value.dtype.itemsize}")
