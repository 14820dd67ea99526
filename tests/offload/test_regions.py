"""Regions are convex: each of them can be one call, after those it reads from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tvm_tinyml.offload.regions import levels


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[int, list[int]], dict[int, bool]]:
    """Operators that read earlier ones, and which of them the device computes."""
    count = draw(st.integers(1, 12))
    reads = {
        key: sorted(draw(st.sets(st.integers(0, key - 1), max_size=3))) if key else [] for key in range(count)
    }
    return reads, {key: draw(st.booleans()) for key in reads}


@given(graphs())
def test_regions_can_be_called_one_after_the_other(
    graph: tuple[dict[int, list[int]], dict[int, bool]],
) -> None:
    reads, on_device = graph
    level = levels(reads, on_device)
    for key, sources in reads.items():
        for source in sources:
            # Another device later, the same one later or in the same call.
            assert level[source] + (on_device[source] != on_device[key]) <= level[key]


@given(graphs())
def test_a_graph_of_one_device_is_one_region(graph: tuple[dict[int, list[int]], dict[int, bool]]) -> None:
    reads, _ = graph
    assert len(set(levels(reads, dict.fromkeys(reads, True)).values())) == 1


def test_an_operator_without_a_predecessor_joins_the_region_of_its_reader() -> None:
    # 0 on the CPU, 1 reads it; 2 reads an input of the model; 3 reads both.
    level = levels({0: [], 1: [0], 2: [], 3: [1, 2]}, {0: False, 1: True, 2: True, 3: True})
    assert level[2] == level[1] == level[3]
