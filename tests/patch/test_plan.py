"""A patch plan is whole and consistent, or is refused with a sentence that says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import PatchPlan, Region, Segment


def region(*operators: str, strip: int = 8) -> Region:
    return Region(operators, strip, dict.fromkeys(operators, 1))


def test_a_plan_tells_which_region_an_operator_belongs_to() -> None:
    first, second = region("a", "b"), region("d")
    plan = PatchPlan(("a", "b", "c", "d"), (first, second))
    assert [plan.region_of(name) for name in plan.order] == [first, first, None, second]


@pytest.mark.parametrize(
    ("operators", "strip", "rows", "message"),
    [
        ((), 1, {}, "no operators"),
        (("a", "a"), 1, {"a": 1}, "'a' 2 times"),
        (("a",), 0, {"a": 1}, "0 columns"),
        (("a", "b"), 1, {"a": 1}, "different: b"),
        (("a",), 1, {"a": 1, "z": 1}, "different: z"),
        (("a",), 1, {"a": 0}, "makes 0 rows"),
    ],
)
def test_a_region_of_contradictions_is_refused(
    operators: tuple[str, ...], strip: int, rows: dict[str, int], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        Region(operators, strip, rows)


def test_units_are_segments_and_operators_of_none() -> None:
    middle, end = Segment(("b", "c"), 4, 1, 3), Segment(("e",), 2, 2)
    whole = Region(("a", "b", "c", "d", "e"), 8, {"a": 1, "d": 2}, (middle, end), ("d",))
    assert list(whole.units) == [(("a",), None), (("b", "c"), middle), (("d",), None), (("e",), end)]
    for region in (whole, replace(whole, floating=True)):
        assert PatchPlan.from_json(PatchPlan(region.operators, (region,)).to_json()).regions == (region,)


@pytest.mark.parametrize(
    ("segments", "rows", "message"),
    [
        (((), 1, 1), {"a": 1, "b": 1, "c": 1}, "no operators"),
        ((("b",), 2, 3), {"a": 1, "c": 1}, "begins with 3 of 2 rows"),
        ((("b",), 0, 0), {"a": 1, "c": 1}, "begins with 0 of 0 rows"),
        ((("b",), 1, 1, 0), {"a": 1, "c": 1}, "makes 0 columns"),
        ((("b", "a"), 1, 1), {"c": 1}, "not runs of its operators"),
        ((("z",), 1, 1), {"a": 1, "b": 1, "c": 1}, "different: z|not runs"),
        ((("b", "c"), 1, 1), {"a": 1, "b": 1}, "different: b"),
    ],
)
def test_segments_of_contradictions_are_refused(segments: Any, rows: dict[str, int], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Region(("a", "b", "c"), 8, rows, (Segment(*segments),))


def test_only_operators_outside_of_segments_are_settling() -> None:
    with pytest.raises(PlanError, match="no operators of it outside of segments: b, z"):
        Region(("a", "b"), 8, {"a": 1}, (Segment(("b",), 2, 1),), ("a", "b", "z"))


@pytest.mark.parametrize(
    ("order", "regions", "message"),
    [
        (("a", "a"), (), "order name 'a' 2 times"),
        (("a",), (region("b"),), "'b' of a region is not part"),
        (("a", "c", "b"), (region("a", "b"),), "do not follow one another"),
        (("a", "b"), (region("a", "b", "c"),), "do not follow one another"),
        (("a", "b", "c"), (region("a", "b"), region("b", "c")), "regions name 'b' 2 times"),
        (("a", "b"), (region("b"), region("a")), "execution order"),
    ],
)
def test_regions_that_are_not_runs_of_the_order_are_refused(
    order: tuple[str, ...], regions: tuple[Region, ...], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        PatchPlan(order, regions)
