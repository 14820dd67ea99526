"""Plots of measured figures as SVG text, with matplotlib (extra `viz`).

The same figures give the same bytes: no dates, fixed identifiers.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tvm_tinyml.errors import RunError

Series = Mapping[str, float | None]
"""One value by category; None and missing categories leave a gap."""

_PANEL_INCHES = (5.2, 3.0)
_BAR_SHARE = 0.8


def require_matplotlib() -> None:
    """Raise RunError naming the remedy when matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise RunError("plots need matplotlib, which is not installed: pip install 'tvm-tinyml[viz]'")


@contextmanager
def drawing(title: str, width: float, height: float) -> Iterator[tuple[Any, io.StringIO]]:
    """A figure of so many inches to draw on, and where its SVG text will be when the context ends.

    RunError without matplotlib.
    """
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    # Text stays text, a dollar sign in a name starts no formula, and identifiers do not change from run to run.
    style = {"svg.fonttype": "none", "text.parse_math": False, "svg.hashsalt": "tvm-tinyml"}
    text = io.StringIO()
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.suptitle(title)
        yield figure, text
        figure.savefig(text, format="svg", metadata={"Date": None})


def bar_panels(
    panels: Mapping[str, Mapping[str, Series]],
    categories: Sequence[str],
    *,
    title: str,
    label: str,
    line: float | None = None,
) -> str:
    """Draw grouped bars as SVG: one panel per key, one group per category, one bar per series.

    panels: by panel, by name of the series, the values by category. Series of one name have one colour in all
    panels. label: of the vertical axis. line: height of a reference line.
    RunError without matplotlib.
    """
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    columns = min(2, len(panels)) or 1
    rows = -(-len(panels) // columns) or 1
    width = _BAR_SHARE / max(1, len(names))
    with drawing(title, _PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows + 0.6) as (figure, text):
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        for axis, (panel, series) in zip(axes, panels.items(), strict=False):
            shown = [c for c in categories if any(values.get(c) is not None for values in series.values())]
            for index, name in enumerate(names):
                values = series.get(name, {})
                places = [
                    (position + (index - (len(names) - 1) / 2) * width, value)
                    for position, category in enumerate(shown)
                    if (value := values.get(category)) is not None
                ]
                axis.bar(
                    [place for place, _ in places],
                    [value for _, value in places],
                    width,
                    color=f"C{index}",
                    label=name if axis is axes[0] else None,
                )
            if line is not None:
                axis.axhline(line, color="black", linewidth=0.8, linestyle="--")
            axis.set_title(panel, fontsize="medium")
            axis.set_xticks(range(len(shown)), shown, fontsize="small")
            axis.set_ylabel(label)
            axis.grid(axis="y", linewidth=0.4)
            axis.set_axisbelow(True)
        if names:
            figure.legend(loc="outside lower center", ncols=min(3, len(names)), fontsize="small")
    return text.getvalue()
