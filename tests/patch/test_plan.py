"""A patch plan is whole and consistent, or is refused with a sentence that says why."""

from __future__ import annotations

import pytest

from tvm_tinyml.errors import PlanError
from tvm_tinyml.patch import PatchPlan, Region


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
