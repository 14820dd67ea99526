"""The plans between least work and least memory as a plot: what each percent of work saves."""

from __future__ import annotations

from collections.abc import Sequence

from .plots import drawing

_INCHES = (7.2, 4.4)
_MARGIN = 0.01


def front_plot(
    points: Sequence[tuple[int, float]],
    *,
    title: str,
    budget: int | None = None,
    measured: Sequence[tuple[int, float]] = (),
) -> str:
    """Draw a front as SVG text: arena in bytes against work as a multiple of the plain model's.

    points: (arena, work) of every plan, by number. budget: bytes, drawn as a line.
    measured: (arena, instructions as a multiple of the plain build's) of plans that were run, as crosses.
    RunError without matplotlib.
    """
    with drawing(title, *_INCHES) as (figure, text):
        axis = figure.subplots()
        sizes, work = [arena / 1000 for arena, _ in points], [factor for _, factor in points]
        # Between two plans the one with less work has to be taken.
        axis.step(work, sizes, where="post", color="C0", linewidth=0.9)
        axis.plot(work, sizes, "o", color="C0", markersize=4)
        if measured:
            axis.plot(
                [ratio for _, ratio in measured], [arena / 1000 for arena, _ in measured], "x", color="C1"
            )
        for number in {0, len(points) - 1}:
            axis.annotate(
                f"{number}: {points[number][0]:,}",
                (work[number], sizes[number]),
                xytext=(6, 6),
                textcoords="offset points",
                fontsize="small",
            )
        if budget is not None:
            axis.axhline(budget / 1000, color="black", linewidth=0.8, linestyle="--")
        shown = "work (dots) and instructions (crosses), as multiples" if measured else "work, as a multiple"
        axis.set_xlabel(f"{shown} of the plain model's")
        axis.set_ylabel("arena without scratch, thousand bytes")
        axis.set_ylim(bottom=0)
        every = [*work, *(ratio for _, ratio in measured)]
        axis.set_xlim(min(every) - _MARGIN, max(every) + 5 * _MARGIN)
        axis.grid(linewidth=0.4)
        axis.set_axisbelow(True)
    return text.getvalue()
