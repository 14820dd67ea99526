"""What the registry promises of operators beyond their semantics, on random calls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dialect.operator_calls import STRATEGIES, calls
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.registry import IN_PLACE
from tvm_tinyml.dialect.relax_api import TensorSpec

LIMITS = {"clamp_min": -128, "clamp_max": 127}


@pytest.mark.parametrize("name", [name for name in sorted(STRATEGIES) if operator(name).adds_zero_point])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.tuples(*[st.integers(-128, 127)] * 3))
def test_a_zero_point_that_is_added_moves_the_output(
    name: str, data: st.DataObject, chosen: tuple[int, int, int]
) -> None:
    call = data.draw(calls(name))
    zero_point, *limits = chosen
    low, high = sorted(limits)
    changed = {**call.attrs, "zero_point": zero_point, "clamp_min": low, "clamp_max": high}
    reference = operator(name).reference
    # Beyond the range of int8 nothing is known; within it, every choice gives the same sums.
    centred = reference(call.arrays, {**call.attrs, **LIMITS, "zero_point": 0}).astype(int)
    found = reference(call.arrays, changed).astype(int)
    inside = (centred > -128) & (centred < 127)
    np.testing.assert_array_equal(found[inside], np.clip(centred + zero_point, low, high)[inside])


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_swapped_inputs_give_a_swapped_output(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(name))
    swapped = operator(name).transposed(call.attrs)
    plain = operator(name).reference(call.arrays, call.attrs)
    if swapped is None or plain.ndim != 4 or any(array.ndim in (2, 3) for array in call.arrays):
        return
    arrays = [array.swapaxes(1, 2) if array.ndim == 4 else array for array in call.arrays]
    np.testing.assert_array_equal(operator(name).reference(arrays, swapped), plain.swapaxes(1, 2))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_window_is_a_run_of_elements(data: st.DataObject) -> None:
    call = data.draw(calls("slice"))
    described = operator("slice")
    positions = np.arange(call.arrays[0].size).reshape(call.arrays[0].shape)
    read = described.reference([positions], call.attrs).ravel()
    specs = [TensorSpec(call.arrays[0].shape, "int32")]
    is_run = bool((read == read[0] + np.arange(read.size)).all())
    assert described.window(specs, call.attrs) == (read[0] if is_run else None)
    assert described.view_offset(specs, call.attrs) is None
    expected = 4 * int(read[0]) if is_run else None
    assert described.view_offset(specs, {**call.attrs, IN_PLACE: 1}) == expected


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_parts_lie_one_after_the_other(data: st.DataObject) -> None:
    call = data.draw(calls("concat"))
    described = operator("concat")
    specs = [TensorSpec(array.shape, "int16") for array in call.arrays]
    labels = [np.full(array.shape, index) for index, array in enumerate(call.arrays)]
    joined = described.reference(labels, call.attrs).ravel()
    starts = [int(np.flatnonzero(joined == index)[0]) for index in range(len(labels))]
    ordered = bool((np.diff(joined) >= 0).all())
    parts = described.parts(specs, call.attrs)
    # With one input, everything is in order along any axis.
    assert parts == (tuple(starts) if ordered else None) or len(labels) == 1
    assert described.part_offsets(specs, call.attrs) is None
    if parts is not None:
        offsets = described.part_offsets(specs, {**call.attrs, IN_PLACE: 1})
        assert offsets == tuple(2 * start for start in parts)
