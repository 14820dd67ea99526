"""Steps from a plan to the next one: what changes, and that the rest stays."""

from __future__ import annotations

from tests.patch.networks import bottlenecks, network
from tvm_tinyml.patch import PatchPlan, Region
from tvm_tinyml.patch.neighbours import neighbours
from tvm_tinyml.patch.plan import Segment

NET = network(bottlenecks(2))
ORDER = tuple(node.name for node in NET.nodes)
FIRST, SECOND = (tuple(node.name for node in NET.nodes[begin : begin + 2]) for begin in (0, 2))


def region(operators: tuple[str, ...], rows: int = 1) -> Region:
    """Operators in strips of the whole width."""
    last = NET.nodes[NET.position[operators[-1]]]
    return Region(operators, last.output.shape[2], dict.fromkeys(operators, rows))


def test_one_region_changes_and_the_others_stay() -> None:
    plan = PatchPlan(ORDER, (region(FIRST), region(SECOND)))
    found = [one.regions for one in neighbours(NET, plan, 0)]
    assert found == [
        (region(FIRST[1:]), region(SECOND)),
        (region(FIRST[:1]), region(SECOND)),
        (region(FIRST, 2), region(SECOND)),
        (region(SECOND),),
    ]


def test_rows_end_at_the_height_and_a_lone_operator_is_not_cut() -> None:
    height = NET.nodes[NET.position[FIRST[0]]].output.shape[1]
    plan = PatchPlan(ORDER, (region(FIRST[:1], height - 1),))
    assert [one.regions for one in neighbours(NET, plan, 0)] == [(region(FIRST[:1], height),), ()]
    assert [one.regions for one in neighbours(NET, PatchPlan(ORDER, (region(FIRST[:1], height),)), 0)] == [()]


def test_regions_with_segments_are_left_out_or_stay() -> None:
    banded = Region(FIRST, 2, {FIRST[1]: 1}, (Segment(FIRST[:1], 2, 1),))
    assert [one.regions for one in neighbours(NET, PatchPlan(ORDER, (banded,)), 0)] == [()]
