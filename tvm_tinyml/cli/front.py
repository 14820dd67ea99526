"""`tvm-tinyml plan --pareto`: the plans between least work and least memory, as a table or as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tvm_tinyml.output import write_text

from .common import WIDEST_MAP, print_json, print_table, terminal_width
from .front_page import front_page
from .front_run import Executed

_COLUMNS = ("plan", "arena (bytes)", "work", "regions", "narrowest strip", "calls", "peak set by")
_MEASURED = ("instructions", "over plain")


def find_front(imported: Any, config: Any) -> Any:
    """Front of a model for a target."""
    from tvm_tinyml.pipeline import patch_front

    return patch_front(imported.module, config)


def plan_at(front: Any, number: int) -> Any:
    """Plan `number` of a front as it is built, with larger calls where they are free.

    UsageError when there is no such plan.
    """
    if number >= len(front.plans):
        last = len(front.plans) - 1
        raise click.UsageError(f"there is no plan {number}; the plans of this model are 0 to {last}")
    return front.taller(number)


def show_map(title: str, front: Any, number: int, svg: Path | None, force: bool) -> None:
    """Print the memory map of plan `number` of a front and draw it; UsageError when there is no such plan."""
    from tvm_tinyml.memory import draw_svg, draw_text
    from tvm_tinyml.patch.words import limits

    found = plan_at(front, number)
    if svg is not None:
        write_text(svg, draw_svg(found.program, found.memory, title=f"{title}, plan {number}"), force=force)
    click.echo(draw_text(found.program, found.memory, width=min(terminal_width(), WIDEST_MAP)))
    click.echo()
    click.echo(f"Plan {number}: {found.factor:.3f} times the work. {limits(front.network, found)}")


def show_front(
    header: Mapping[str, Any], front: Any, config: Any, as_json: bool, executed: Executed | None
) -> None:
    """Print a front as a table or as data; executed: what was measured of it, if anything."""
    points = [_point(front, number, executed) for number in range(len(front.plans))]
    if as_json:
        plain = None if executed is None else executed.plain
        totals = {"plain_macs": front.plans[0].plain_macs, "plain_instructions": plain}
        print_json({**header, **totals, "points": points})
        return
    title = f"{header['model']} for {header['target']}, input {header['input']}: {len(points)} plans"
    print_table(
        title, _columns(executed), [_row(index, point, executed) for index, point in enumerate(points)]
    )
    click.echo("Work is multiply-accumulates over those of the plain model. Scratch of kernels comes on top.")
    if executed is not None:
        click.echo(f"The plain build executes {executed.plain:,} instructions.")
    click.echo(f"Plan 0: {points[0]['explanation']}")
    if config.arena_limit is not None:
        click.echo(_within(front, config.arena_limit))
    if len(points) > 1:
        click.echo(f"Plan {len(points) - 1}: {points[-1]['explanation']}")


def draw_front(title: str, front: Any, config: Any, executed: Executed | None) -> str:
    """The front as SVG text; RunError without matplotlib."""
    from tvm_tinyml.profile.front_plot import front_plot

    points = [(found.arena_bytes, found.factor) for found in front.plans]
    measured = [] if executed is None else [(points[k][0], executed.ratio(k) or 0.0) for k in executed.plans]
    return front_plot(points, title=title, budget=config.arena_limit, measured=measured)


def describe_front(title: str, front: Any, config: Any, point: int | None, executed: Executed | None) -> str:
    """The front as an HTML page, with the memory over time of the first plan and of one other.

    point: number of the other one; None: the one that keeps the target's budget, or the last.
    RunError without matplotlib, UsageError when there is no such plan.
    """
    from tvm_tinyml.memory import draw_svg
    from tvm_tinyml.patch.words import limits

    maps = {}
    for number in dict.fromkeys((0, _kept(front, config) if point is None else point)):
        found = plan_at(front, number)
        heading = f"Plan {number}: {found.arena_bytes:,} bytes at {found.factor:.3f} times the work"
        picture = draw_svg(found.program, found.memory, title=heading)
        maps[heading] = (limits(front.network, found), picture)
    rows = [_row(number, _point(front, number, executed), executed) for number in range(len(front.plans))]
    return front_page(title, draw_front(title, front, config, executed), _columns(executed), rows, maps)


def _kept(front: Any, config: Any) -> int:
    """The plan with the least work that keeps the budget; the last one without a budget, or when none does."""
    last = len(front.plans) - 1
    if config.arena_limit is None or front.plans[last].arena_bytes > config.arena_limit:
        return last
    return int(front.first_within(config.arena_limit))


def _within(front: Any, arena_limit: int) -> str:
    """Which plan keeps the budget, or why none does."""
    from tvm_tinyml.errors import PlanError

    try:
        number, found = front.first_within(arena_limit), front.within(arena_limit)
    except PlanError as error:
        return f"Budget: {error}"
    return (
        f"Plan {number} is the first whose arena takes at most the {arena_limit:,} bytes that the budget leaves beside "
        f"the stack; with more rows per call it makes {found.calls:,} calls in {found.arena_bytes:,} bytes."
    )


def _columns(executed: Executed | None) -> Sequence[str]:
    return _COLUMNS if executed is None else (*_COLUMNS, *_MEASURED)


def _row(index: int, point: Mapping[str, Any], executed: Executed | None) -> Sequence[Any]:
    regions, ratio = point["regions"], point["instructions_factor"]
    measured = (point["instructions"], None if ratio is None else f"{ratio:.3f}")
    return (
        index,
        point["arena_bytes"],
        f"{point['factor']:.3f}",
        len(regions),
        min((region["strip"] for region in regions), default=None),
        point["calls"],
        point["peak_operator"],
        *(() if executed is None else measured),
    )


def _point(front: Any, number: int, executed: Executed | None) -> dict[str, Any]:
    """One plan as plain data; instructions are null when it was not run."""
    from tvm_tinyml.patch.words import limits, next_step, peak_step

    found, following = front.plans[number], front.plans[number + 1 : number + 2]
    return {
        "arena_bytes": found.arena_bytes,
        "lower_bound_bytes": found.memory.lower_bound,
        "factor": found.factor,
        "macs": found.macs,
        "calls": found.calls,
        "instructions": None if executed is None else executed.plans.get(number),
        "instructions_factor": None if executed is None else executed.ratio(number),
        "peak_operator": peak_step(found),
        "explanation": limits(front.network, found),
        "next": next_step(found, following[0]) if following else None,
        "regions": [
            {
                "operators": list(region.operators),
                "strip": region.strip,
                "rows": dict(region.rows),
                "segments": [
                    {"operators": list(one.operators), "rows": one.rows, "lead": one.lead}
                    for one in region.segments
                ],
                "settling": list(region.settling),
                "floating": region.floating,
            }
            for region in found.plan.regions
        ],
    }
