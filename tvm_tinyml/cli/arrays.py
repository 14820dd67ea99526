"""Arrays of .npz files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tvm_tinyml.errors import RunError

from .tensors import Array


def read_arrays(file: Path) -> dict[str, Array]:
    """All arrays of a .npz file by name; RunError when it cannot be read, or holds objects."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name]) for name in arrays}
    except FileNotFoundError:
        raise RunError(f"{file}: no such file; pass a .npz file") from None
    except Exception as error:
        # A damaged archive fails in zipfile, zlib or NumPy's parser, with errors of any kind.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(f"{file}: not a readable .npz file ({reason}); write it with numpy.savez") from None
