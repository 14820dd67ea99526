"""`tvm-tinyml plan`: where every tensor lies in the arena and when, as a map in the terminal or a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click

from tvm_tinyml.output import refuse_existing, write_text

from .common import (
    WIDEST_MAP,
    edges_option,
    force_option,
    import_model,
    json_option,
    model_argument,
    print_facts,
    print_json,
    progress,
    quantize_option,
    target_option,
    terminal_width,
    trust_option,
)
from .front import describe_front, draw_front, find_front, show_front, show_map
from .front_run import run_front
from .quantization import losses_document, print_losses


@click.command("plan")
@model_argument
@target_option
@click.option(
    "--svg",
    type=click.Path(path_type=Path),
    help="Draw the map, or with --pareto the plot, into this file as well.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    help="With --pareto: a page with plot, plans and maps, into this file.",
)
@click.option("--pareto", is_flag=True, help="List plans between least work and least memory instead.")
@click.option(
    "--input",
    "input_mode",
    type=click.Choice(["held", "kept", "rows", "tiles"]),
    help="Whether inputs lie in memory, to the end if kept, or are fetched on demand, instead of what the target says.",
)
@click.option(
    "--point", type=click.IntRange(min=0), help="With --pareto: draw the map of the plan of this number."
)
@click.option(
    "--measure",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --pareto: run N plans, evenly spread, on the emulated board, and list their instructions.",
)
@force_option
@trust_option
@quantize_option
@edges_option
@json_option
def plan_command(
    model: Path,
    target: str,
    svg: Path | None,
    html: Path | None,
    pareto: bool,
    input_mode: str | None,
    point: int | None,
    measure: int | None,
    force: bool,
    trust: bool,
    samples: Path | None,
    int8_edges: bool,
    as_json: bool,
) -> None:
    """Show where the tensors of MODEL lie in memory, and when."""
    from tvm_tinyml.target import parse_target
    from tvm_tinyml.target.config import InputMode

    if html is not None and not pareto:
        raise click.UsageError("--html shows the plans of --pareto; give both")
    if point is not None and (as_json or not pareto):
        raise click.UsageError("--point draws the map of one plan of --pareto, without --json")
    if measure is not None and (point is not None or not pareto):
        raise click.UsageError("--measure runs plans of --pareto, without --point")
    config = parse_target(target)
    if input_mode is not None:
        config = replace(config, input=cast(InputMode, input_mode))
    for picture in (svg, html):
        if picture is not None:
            refuse_existing(picture, force)
    if html is not None or (pareto and svg is not None and point is None):
        from tvm_tinyml.profile.plots import require_matplotlib

        require_matplotlib()
    imported = import_model(model, trust=trust, samples=samples, int8_edges=int8_edges)
    name = imported.signature["name"]
    if pareto:
        with progress(f"Searching plans of {model.name} for {config}"):
            front = find_front(imported, config)
        executed = None if measure is None else run_front(imported, config, front, measure)
        if point is not None:
            show_map(f"{name} for {config}", front, point, svg, force)
        else:
            header: dict[str, Any] = {"model": name, "target": str(config), "input": config.input}
            header["quantization"] = losses_document(imported.losses)
            if not as_json:
                print_losses(imported.losses)
            show_front(header, front, config, as_json, executed)
            if svg is not None:
                write_text(svg, draw_front(f"{name} for {config}", front, config, executed), force=force)
        if html is not None:
            page = describe_front(f"{name} for {config}", front, config, point, executed)
            write_text(html, page, force=force)
        return
    with progress(f"Planning {model.name} for {config}"):
        from tvm_tinyml.memory import draw_svg, draw_text
        from tvm_tinyml.pipeline import compile_module

        compiled = compile_module(imported.module, config)
    program, plan = compiled.program, compiled.plan
    if svg is not None:
        title = f"{name} for {config}"
        write_text(svg, draw_svg(program, plan, title=title), force=force)
    if as_json:
        header = {"model": name, "target": str(config), "quantization": losses_document(imported.losses)}
        print_json(header | _document(compiled) | {"svg": None if svg is None else str(svg)})
        return
    print_losses(imported.losses)
    click.echo(draw_text(program, plan, width=min(terminal_width(), WIDEST_MAP)))
    click.echo()
    print_facts(
        {
            "target": str(config),
            "arena (bytes)": plan.arena_bytes,
            "lower bound (bytes)": plan.lower_bound,
            "planner": f"{plan.method}, {'optimal' if plan.optimal else f'{plan.gap:.2%} above the lower bound'}",
            "picture": svg,
        }
    )


def _document(compiled: Any) -> dict[str, Any]:
    """The plan as plain data: steps count from 0, -1 is before the first and their number after the last."""
    from tvm_tinyml.memory import explain
    from tvm_tinyml.memory.occupancy import occupied_bytes, peak_time, regions

    program, plan = compiled.program, compiled.plan
    found = regions(program, plan)
    return {
        "arena_bytes": plan.arena_bytes,
        "arena_alignment": plan.alignment,
        "lower_bound_bytes": plan.lower_bound,
        "method": plan.method,
        "optimal": plan.optimal,
        "explanation": explain(program, plan),
        "peak_step": peak_time(found, len(program.steps)) if found else None,
        "steps": [
            {"index": index, "name": step.name, "bytes_in_use": occupied_bytes(found, index)}
            for index, step in enumerate(program.steps)
        ],
        "tensors": [
            {
                "name": region.name,
                "kind": region.kind,
                "offset": region.start,
                "bytes": region.nbytes,
                "first_step": region.first,
                "last_step": region.last,
                "views": list(region.views),
            }
            for region in found
        ],
    }
