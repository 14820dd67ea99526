"""ScheduleForMemory: which order, what counts, and what a view holds."""

from __future__ import annotations

from tests.transform.building import ModuleBuilder, assert_becomes, assert_unchanged, identity_table
from tvm_tinyml.transform import ScheduleForMemory


def test_a_branch_is_finished_before_the_next_one_begins() -> None:
    before, after = ModuleBuilder(), ModuleBuilder()
    data = before.parameter(1, 6, 6, 1)
    wide = [before.conv2d(data, kernel=1, name=f"wide_{side}", tensor=f"w{side}") for side in "ab"]
    small = [
        before.max_pool2d(x, strides=(2, 2), name=f"small_{side}", tensor=f"s{side}")
        for side, x in zip("ab", wide, strict=True)
    ]
    source = before.module(before.call("maximum", *small, name="joined", tensor="j"))
    data = after.parameter(1, 6, 6, 1)
    ends = []
    for side in "ab":
        x = after.conv2d(data, kernel=1, name=f"wide_{side}", tensor=f"w{side}")
        ends.append(after.max_pool2d(x, strides=(2, 2), name=f"small_{side}", tensor=f"s{side}"))
    target = after.module(after.call("maximum", *ends, name="joined", tensor="j"))
    assert_becomes(source, ScheduleForMemory(), target)


def test_a_view_holds_what_it_shows() -> None:
    """Making the small tensor first would free the input only if the view did not keep it."""
    builder = ModuleBuilder()
    data = builder.parameter(1, 4, 4, 2)
    shown = builder.call("reshape", data, shape=(1, 32, 1, 1))
    grown = builder.conv2d(shown, kernel=1)
    small = builder.max_pool2d(data, strides=(2, 2))
    assert_unchanged(builder.module(builder.max_pool2d(grown, pool=(1, 1)), small), ScheduleForMemory())


def test_memory_of_the_caller_does_not_count() -> None:
    """With the caller's own buffers the input costs nothing, so nothing is gained by another order."""
    builder = ModuleBuilder()
    data = builder.parameter(1, 6, 6, 4)
    first = builder.max_pool2d(data, strides=(2, 2))
    second = builder.lookup(first, ~identity_table())
    module = builder.module(builder.call("maximum", first, second))
    assert_unchanged(module, ScheduleForMemory(io_in_arena=False))
