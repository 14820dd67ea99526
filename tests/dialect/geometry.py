"""Hypothesis strategies for shapes, arrays and regions that the data-movement families share."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tvm_tinyml.dialect.bounds import Region
from tvm_tinyml.dialect.relax_api import Array

DTYPES = ("int8", "uint8", "int16", "int32", "float32")


def filled(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    """Array of random values over the whole range of an integer type, or small floats."""
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    values: Array = generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return values


def shapes(max_rank: int = 5, max_extent: int = 5) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of rank 1 to `max_rank`."""
    return st.lists(st.integers(1, max_extent), min_size=1, max_size=max_rank).map(tuple)


@st.composite
def regions(draw: st.DrawFn, shape: tuple[int, ...]) -> Region:
    """Non-empty regions of a tensor of `shape`."""
    begins = [draw(st.integers(0, extent - 1)) for extent in shape]
    ends = [draw(st.integers(low + 1, extent)) for low, extent in zip(begins, shape, strict=True)]
    return tuple(zip(begins, ends, strict=True))
