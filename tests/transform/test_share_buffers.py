"""ShareBuffers: which concatenations and slices need no copy, and what must hold of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.runner.tools import usable_target
from tests.transform.building import (
    ModuleBuilder,
    assert_same_meaning,
    assert_unchanged,
    calls_of,
    identity_table,
    operators_of,
    random_inputs,
)
from tvm_tinyml import relay
from tvm_tinyml.dialect.evaluate import evaluate
from tvm_tinyml.dialect.registry import IN_PLACE
from tvm_tinyml.transform import MaterializeOutputs, ShareBuffers
from tvm_tinyml.transform.dataflow import Graph
from tvm_tinyml.transform.storage import Storage

SHAPE = (1, 4, 8, 4)
BYTES = 4 * 8 * 4
Make = Callable[[ModuleBuilder, Any], list[Any]]


def changed(build: ModuleBuilder, x: Any, shift: int = 1) -> Any:
    """A value of its own, made by a call."""
    return build.lookup(x, np.roll(identity_table(), shift))


def shared(module: Any) -> Any:
    return ShareBuffers(16)(MaterializeOutputs()(module))


def in_place(module: Any) -> list[str]:
    return [attrs["name"] for _, attrs, _ in calls_of(module) if attrs.get(IN_PLACE)]


def places(module: Any) -> dict[str, tuple[str, int]]:
    """Root and offset of every tensor a call makes."""
    graph = Graph.read(module["main"])
    storage = Storage(graph)
    return {
        node.attrs["name"]: (root.attrs["name"] if hasattr(root, "attrs") else "x0", offset)
        for node in graph.calls
        for root, offset in [storage.place(node)]
    }


def _concat(build: ModuleBuilder, x: Any) -> list[Any]:
    return [build.call("concat", changed(build, x), changed(build, x, 2), axis=1)]


def _concat_and_read(build: ModuleBuilder, x: Any) -> list[Any]:
    return [changed(build, build.call("concat", changed(build, x), changed(build, x, 2), axis=1))]


def _concat_of_reshaped(build: ModuleBuilder, x: Any) -> list[Any]:
    flat = [build.call("reshape", changed(build, x, shift), shape=(1, BYTES)) for shift in (1, 2)]
    return [build.call("concat", *flat, axis=1)]


def _concat_of_concats(build: ModuleBuilder, x: Any) -> list[Any]:
    first = build.call("concat", changed(build, x), changed(build, x, 2), axis=1)
    second = build.call("concat", changed(build, x, 3), changed(build, x, 4), axis=1)
    return [build.call("concat", first, second, axis=1)]


def _concat_with_a_part_read_elsewhere(build: ModuleBuilder, x: Any) -> list[Any]:
    part = changed(build, x)
    return [build.call("concat", part, changed(build, x, 2), axis=1), changed(build, part, 3)]


def _slices(build: ModuleBuilder, x: Any) -> list[Any]:
    source = changed(build, x)
    halves = [
        build.call("slice", source, begin=[0, start, 0, 0], strides=[1] * 4, shape=[1, 2, 8, 4])
        for start in (0, 2)
    ]
    return [build.add(changed(build, halves[0]), changed(build, halves[1]))]


def _a_slice_of_the_input(build: ModuleBuilder, x: Any) -> list[Any]:
    run = build.call("slice", x, begin=[0, 3, 4, 0], strides=[1] * 4, shape=[1, 1, 4, 4])
    return [changed(build, run)]


def _a_concat_with_the_input(build: ModuleBuilder, x: Any) -> list[Any]:
    return [build.call("concat", changed(build, x), x, axis=1)]


def _a_concat_with_itself(build: ModuleBuilder, x: Any) -> list[Any]:
    part = changed(build, x)
    return [build.call("concat", part, part, axis=1)]


def _a_concat_with_an_output(build: ModuleBuilder, x: Any) -> list[Any]:
    part = changed(build, x)
    return [part, build.call("concat", part, changed(build, x, 2), axis=1)]


WITHOUT_COPIES: dict[str, Make] = {
    make.__name__.strip("_"): make
    for make in (
        _concat,
        _concat_and_read,
        _concat_of_reshaped,
        _concat_of_concats,
        _concat_with_a_part_read_elsewhere,
        _slices,
        _a_slice_of_the_input,
    )
}
WITH_A_COPY: dict[str, Make] = {
    make.__name__.strip("_"): make
    for make in (_a_concat_with_the_input, _a_concat_with_itself, _a_concat_with_an_output)
}


def made(makes: Make) -> Any:
    build = ModuleBuilder()
    return build.module(*makes(build, build.parameter(*SHAPE)))


@pytest.mark.parametrize("name", WITHOUT_COPIES)
def test_what_lies_in_a_run_needs_no_copy(name: str) -> None:
    module = made(WITHOUT_COPIES[name])
    found = shared(module)
    moved = [one for one in operators_of(module) if one in ("concat", "slice")]
    assert len(in_place(found)) == len(moved)
    assert operators_of(found) == operators_of(module)
    assert_same_meaning(module, found)


@pytest.mark.parametrize("name", WITH_A_COPY)
def test_only_the_part_that_cannot_be_written_in_place_is_copied(name: str) -> None:
    module = made(WITH_A_COPY[name])
    found = shared(module)
    assert len(in_place(found)) == 1
    assert sorted(operators_of(found)) == sorted([*operators_of(module), "copy"])
    assert_same_meaning(module, found)


@pytest.mark.parametrize("io", ["arena", "caller"])
@pytest.mark.parametrize("name", [*WITHOUT_COPIES, *WITH_A_COPY])
def test_compiled_code_reads_and_writes_the_right_bytes(name: str, io: str) -> None:
    module = made((WITHOUT_COPIES | WITH_A_COPY)[name])
    inputs = random_inputs(module, 3)
    expected = evaluate(module, inputs)
    built = relay.build(module, target=f"tinyml -mcpu=host -io={io}")
    assert "concat" not in {layer.operator for layer in built.compiled.model.layers}
    assert "slice" not in {layer.operator for layer in built.compiled.model.layers}
    for found, wanted in zip(built.run(inputs).outputs, expected.outputs, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55", "rv32imcv"])
def test_no_schedule_writes_beyond_its_part(core: str, reverse: bool) -> None:
    """Parts of 48 bytes in rows of three channels, filled in the order of the result and against it."""
    usable_target(f"-mcpu={core}")
    build = ModuleBuilder()
    x = build.parameter(1, 4, 4, 3)
    filtered = build.conv2d(x, depthwise=True, padding=(1, 1, 1, 1))
    parts = [
        filtered,
        build.requantize(filtered, 0.7),
        build.add(x, filtered),
        build.max_pool2d(x, pool=(3, 3), padding=(1, 1, 1, 1)),
        changed(build, x),
    ]
    module = build.module(build.call("concat", *(parts[::-1] if reverse else parts), axis=1))
    built = relay.build(module, target=f"tinyml -mcpu={core} -without=ScheduleForMemory")
    assert "concat" not in {layer.operator for layer in built.compiled.model.layers}
    for seed in range(2):
        inputs = random_inputs(module, seed)
        np.testing.assert_array_equal(built.run(inputs).outputs[0], evaluate(module, inputs).outputs[0])


def test_every_tensor_can_be_read_from_where_it_lies() -> None:
    module = made(_concat_of_concats)
    inputs = random_inputs(module, 4)
    tensors = relay.build(module, target="tinyml -mcpu=host").tensors(inputs)
    expected = evaluate(module, inputs).tensors
    assert tensors.keys() - {"x0"} == expected.keys() - {"x0"}
    for name in expected.keys() - {"x0"}:
        np.testing.assert_array_equal(tensors[name], expected[name], err_msg=name)


def test_parts_of_parts_lie_in_the_outermost_concatenation() -> None:
    found = places(shared(made(_concat_of_concats)))
    roots = {name: place for name, place in found.items() if name.startswith("lookup")}
    assert list(roots.values()) == [("concat_6", index * BYTES) for index in range(4)]


def _along_an_inner_axis(build: ModuleBuilder, x: Any) -> list[Any]:
    return [build.call("concat", changed(build, x), changed(build, x, 2), axis=2)]


def _backwards(build: ModuleBuilder, x: Any) -> list[Any]:
    return [
        changed(build, build.call("slice", x, begin=[0, 3, 0, 0], strides=[1, -1, 1, 1], shape=[1, 2, 8, 4]))
    ]


def _misaligned(build: ModuleBuilder, x: Any) -> list[Any]:
    return [changed(build, build.call("slice", x, begin=[0, 0, 1, 0], strides=[1] * 4, shape=[1, 1, 4, 4]))]


def _misaligned_part(build: ModuleBuilder, x: Any) -> list[Any]:
    odd = build.call("slice", x, begin=[0, 0, 0, 0], strides=[1, 1, 1, 1], shape=[1, 1, 8, 3])
    parts = [changed(build, build.call("reshape", odd, shape=(24,)), shift) for shift in (1, 2)]
    return [build.call("concat", *parts, axis=0)]


def _a_slice_that_is_an_output(build: ModuleBuilder, x: Any) -> list[Any]:
    source = changed(build, x)
    return [build.call("slice", source, begin=[0] * 4, strides=[1] * 4, shape=[1, 2, 8, 4])]


def _only_inputs(build: ModuleBuilder, x: Any) -> list[Any]:
    return [changed(build, build.call("concat", x, build.parameter(*SHAPE), axis=1))]


@pytest.mark.parametrize(
    "make",
    [_along_an_inner_axis, _backwards, _misaligned, _misaligned_part, _only_inputs],
)
def test_what_is_no_run_or_has_no_producer_stays(make: Make) -> None:
    assert_unchanged(made(make), ShareBuffers(16))


def test_a_slice_that_is_an_output_is_copied() -> None:
    found = shared(made(_a_slice_that_is_an_output))
    assert in_place(found) == []


def test_a_large_tensor_is_not_kept_for_a_small_part_of_it() -> None:
    """A slice in place would hold all of its source in memory beside what is large later."""
    build = ModuleBuilder()
    x = build.parameter(*SHAPE)
    source = changed(build, build.call("concat", *[x] * 8, axis=1))
    part = build.call("slice", source, begin=[0] * 4, strides=[1] * 4, shape=[1, 1, 8, 4])
    wide = changed(build, changed(build, build.call("concat", *[source] * 4, axis=1)))
    small = build.call("slice", wide, begin=[0] * 4, strides=[1] * 4, shape=[1, 1, 8, 4])
    module = build.module(build.add(part, build.call("copy", small)))
    found = shared(module)
    assert "slice_2" in [attrs["name"] for _, attrs, _ in calls_of(found)]
    assert "slice_2" not in in_place(found)
    assert "slice_6" in in_place(found)
    assert_same_meaning(module, found)
