"""Checks every operator family shares: TensorIR and bounds map agree with the NumPy semantics.

The TensorIR is compiled for the host by TVM's own code generator, without a schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm
from tvm import te

from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.bounds import Region
from tvm_tinyml.dialect.relax_api import Array, Attrs, TensorSpec


def specs_of(arrays: Sequence[Array]) -> list[TensorSpec]:
    """Static types of `arrays`."""
    return [TensorSpec(array.shape, str(array.dtype)) for array in arrays]


def prim_func(name: str, arrays: Sequence[Array], attrs: Attrs) -> Any:
    """Unscheduled TensorIR of operator `name` for inputs shaped like `arrays`."""
    placeholders = [
        te.placeholder(array.shape, str(array.dtype), name=f"input_{index}")
        for index, array in enumerate(arrays)
    ]
    return te.create_prim_func([*placeholders, operator(name).compute(placeholders, attrs)])


def run_tensor_ir(name: str, arrays: Sequence[Array], attrs: Attrs) -> Array:
    """Output of the operator's TensorIR, compiled for the host."""
    function = prim_func(name, arrays, attrs).with_attr("global_symbol", "operator")
    output = operator(name).infer(specs_of(arrays), attrs)
    result = tvm.runtime.tensor(np.zeros(output.shape, output.dtype))
    library = tvm.compile(tvm.IRModule({"operator": function}), target="llvm")
    library["operator"](*(tvm.runtime.tensor(np.ascontiguousarray(array)) for array in arrays), result)
    contents: Array = result.numpy()
    return contents


def assert_consistent(name: str, arrays: Sequence[Array], attrs: Attrs) -> Array:
    """Type inference, NumPy semantics and TensorIR agree; returns the NumPy output."""
    expected = operator(name).reference(arrays, attrs)
    assert specs_of([expected]) == [operator(name).infer(specs_of(arrays), attrs)]
    np.testing.assert_array_equal(run_tensor_ir(name, arrays, attrs), expected)
    return expected


def assert_region_suffices(name: str, arrays: Sequence[Array], attrs: Attrs, region: Region) -> None:
    """Nothing outside the regions the bounds map names can change `region` of the output."""
    described = operator(name)
    expected = described.reference(arrays, attrs)[_slices(region)]
    garbled = []
    for array, bounds in zip(arrays, described.bounds(specs_of(arrays), attrs), strict=True):
        noise = np.array(np.arange(array.size).reshape(array.shape) * 37 + 11, array.dtype)
        wanted = _slices(bounds.region(region, array.shape))
        noise[wanted] = array[wanted]
        garbled.append(noise)
    np.testing.assert_array_equal(described.reference(garbled, attrs)[_slices(region)], expected)


def _slices(region: Region) -> tuple[slice, ...]:
    return tuple(slice(begin, end) for begin, end in region)
