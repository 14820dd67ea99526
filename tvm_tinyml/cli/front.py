"""`tvm-tinyml plan --pareto`: the plans between least work and least memory, as a table or as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from .common import print_json, print_table


def show_front(header: Mapping[str, Any], imported: Any, config: Any, fetch: bool, as_json: bool) -> None:
    """Search the front of a model for a target and print it."""
    from tvm_tinyml.pipeline import patch_front

    network, front = patch_front(imported.module, config, fetch_inputs=fetch)
    points = [_point(network, front, index) for index in range(len(front))]
    if as_json:
        print_json({**header, "plain_macs": front[0].plain_macs, "points": points})
        return
    title = f"{header['model']} for {header['target']}, input {header['input']}: {len(points)} plans"
    columns = ["plan", "arena (bytes)", "work", "regions", "narrowest strip", "calls", "peak set by"]
    print_table(title, columns, [_row(index, point) for index, point in enumerate(points)])
    click.echo("Work is multiply-accumulates over those of the plain model. Scratch of kernels comes on top.")
    click.echo(f"Plan 0: {points[0]['explanation']}")
    if config.ram_bytes is not None:
        click.echo(_within(network, front, config.ram_bytes))
    if len(points) > 1:
        click.echo(f"Plan {len(points) - 1}: {points[-1]['explanation']}")


def _within(network: Any, front: Sequence[Any], ram_bytes: int) -> str:
    """Which plan keeps the budget, or why none does."""
    from tvm_tinyml.errors import PlanError
    from tvm_tinyml.patch.choice import cheapest_within

    try:
        chosen = front.index(cheapest_within(network, front, ram_bytes))
    except PlanError as error:
        return f"Budget: {error}"
    return f"Plan {chosen} is the first whose arena keeps the budget of {ram_bytes:,} bytes."


def _row(index: int, point: Mapping[str, Any]) -> Sequence[Any]:
    regions = point["regions"]
    return (
        index,
        point["arena_bytes"],
        f"{point['factor']:.3f}",
        len(regions),
        min((region["strip"] for region in regions), default=None),
        point["calls"],
        point["peak_operator"],
    )


def _point(network: Any, front: Sequence[Any], index: int) -> dict[str, Any]:
    """One plan as plain data."""
    from tvm_tinyml.patch.words import limits, next_step, peak_step

    found = front[index]
    return {
        "arena_bytes": found.arena_bytes,
        "lower_bound_bytes": found.memory.lower_bound,
        "factor": found.factor,
        "macs": found.macs,
        "calls": found.calls,
        "peak_operator": peak_step(found),
        "explanation": limits(network, found),
        "next": next_step(found, front[index + 1]) if index + 1 < len(front) else None,
        "regions": [
            {"operators": list(region.operators), "strip": region.strip, "rows": dict(region.rows)}
            for region in found.plan.regions
        ],
    }
