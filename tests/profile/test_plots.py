"""Plots: valid SVG with the names in it, the same bytes every time, one error without matplotlib."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tvm_tinyml.errors import RunError
from tvm_tinyml.profile import plots

PANELS: dict[str, dict[str, dict[str, float | None]]] = {
    "kws <&> $x$ y$": {"tinyml -mcpu=cortex-m4": {"conv2d": 1.5, "dense": None}, "other": {"dense": 2.0}},
    "ic": {"other": {"conv2d": 3.0}},
    "none": {"other": {"conv2d": None}},
}
CATEGORIES = ("conv2d", "pointwise", "dense")


def draw() -> str:
    return plots.bar_panels(PANELS, CATEGORIES, title="Work", label="per MAC", line=1.0)


def test_names_are_text_of_the_drawing() -> None:
    pytest.importorskip("matplotlib")
    texts = {"".join(element.itertext()).strip() for element in ElementTree.fromstring(draw()).iter()}
    assert {*PANELS, "Work", "per MAC", "conv2d", "dense", "tinyml -mcpu=cortex-m4"} <= texts
    assert "pointwise" not in texts


def test_the_same_figures_give_the_same_bytes_without_a_date() -> None:
    pytest.importorskip("matplotlib")
    drawing = draw()
    assert drawing == draw()
    assert "<dc:date>" not in drawing


def test_nothing_to_draw_is_an_empty_drawing() -> None:
    pytest.importorskip("matplotlib")
    ElementTree.fromstring(plots.bar_panels({}, CATEGORIES, title="Work", label="per MAC"))


def test_missing_matplotlib_is_one_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install 'tvm-tinyml\[viz\]'"):
        draw()
