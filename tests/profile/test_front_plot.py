"""The plot of a front holds every plan and the budget."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tvm_tinyml.profile.front_plot import front_plot

POINTS = [(55_296, 1.0), (36_864, 1.0), (28_896, 1.2)]


def markers(drawing: str) -> int:
    """Points drawn: what is used again inside the clipped area of the axes."""
    groups = [group for group in ElementTree.fromstring(drawing).iter() if group.get("clip-path")]
    return sum(element.tag.endswith("}use") for group in groups for element in group.iter())


def test_every_plan_is_a_point_and_the_ends_are_named() -> None:
    pytest.importorskip("matplotlib")
    drawing = front_plot(POINTS, title="digits")
    assert "0: 55,296" in drawing
    assert "2: 28,896" in drawing
    assert markers(drawing) == len(POINTS)


def test_a_budget_is_a_line_more() -> None:
    pytest.importorskip("matplotlib")
    assert len(front_plot(POINTS, title="digits", budget=40_000)) > len(front_plot(POINTS, title="digits"))


def test_what_was_measured_is_a_point_more_and_within_the_axes() -> None:
    pytest.importorskip("matplotlib")
    drawing = front_plot(POINTS, title="digits", measured=[(28_896, 2.5)])
    assert markers(drawing) == len(POINTS) + 1
    assert "instructions" in drawing
