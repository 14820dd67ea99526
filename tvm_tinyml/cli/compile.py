"""`tvm-tinyml compile`: a model file to a C project or a Model Library Format archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tvm_tinyml.output import refuse_existing

from .common import (
    build,
    edges_option,
    force_option,
    import_model,
    json_option,
    measure_option,
    model_argument,
    opt_option,
    point_option,
    print_facts,
    print_json,
    print_table,
    quantize_option,
    shape_text,
    target_config,
    target_option,
    trust_option,
)
from .npu import print_placement
from .quantization import losses_document, print_losses

ARCHIVE = ".tar"
_CANDIDATE_COLUMNS = ("layer", "schedule", "est. instructions", "counted", "code", "scratch", "why")
_PASS_COLUMNS = ("after", "layers", "MACs", "weights", "activations", "arena")


@click.command("compile")
@model_argument
@target_option
@opt_option
@measure_option
@trust_option
@quantize_option
@edges_option
@point_option
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help=f"Folder to write, or a Model Library Format archive when it ends in {ARCHIVE}.",
)
@click.option(
    "--project",
    metavar="KIND",
    help="Write a project that builds as it stands, with the model and a program that runs its self-test: for make, "
    "cmake, arduino, cmsis-pack or zephyr.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Show every schedule that a layer could have, what it costs, and why one was taken.",
)
@click.option(
    "--selftest",
    is_flag=True,
    help="Add a function that checks the constants and one inference on the device.",
)
@force_option
@json_option
def compile_command(
    model: Path,
    target: str,
    opt: str | None,
    measure: bool,
    trust: bool,
    samples: Path | None,
    int8_edges: bool,
    point: int | None,
    output: Path,
    project: str | None,
    explain: bool,
    selftest: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Compile MODEL to C with one static memory plan."""
    config = target_config(target, opt)
    is_archive = output.suffix == ARCHIVE
    if is_archive and (selftest or project):
        raise click.UsageError(
            "a Model Library Format archive has no self-test and is no project: give --output a folder"
        )
    refuse_existing(output, force, None if is_archive else _marker(project))
    imported = import_model(model, trust=trust, samples=samples, int8_edges=int8_edges)
    built = build(imported, config, measure, point)
    if is_archive:
        built.export_model_library_format(output, force=force)
    elif project:
        built.export_project(output, project, force=force)
    else:
        built.export_folder(output, force=force, selftest=selftest)
    description = built.metadata
    if as_json:
        print_json(description | {"output": str(output), "quantization": losses_document(imported.losses)})
        return
    print_losses(imported.losses)
    rows = [
        (
            layer["name"],
            shape_text(layer["shape"]),
            layer["macs"],
            layer["constant_bytes"],
            layer["schedule"],
        )
        for layer in description["layers"]
    ]
    print_table("Layers", ("", "shape", "MACs", "constants", "schedule"), rows)
    if explain:
        print_table(
            "Schedules that were candidates", _CANDIDATE_COLUMNS, _candidate_rows(description["layers"])
        )
    print_placement(description)
    print_table("Graph passes", _PASS_COLUMNS, _pass_rows(description["passes"]))
    print_facts(
        {
            "target": description["target"],
            "rounding": description["rounding"],
            "MACs": description["macs"],
            "constants (bytes)": description["constant_bytes"],
            "arena (bytes)": description["arena_bytes"],
            "without scratch (bytes)": description["memory"]["without_scratch_bytes"],
            "RAM (bytes)": _ram_text(description["memory"]),
            "lower bound (bytes)": description["memory"]["lower_bound_bytes"],
            "written to": output,
        }
    )


def _marker(project: str | None) -> str:
    """The file that tells what this command writes from a folder of other things."""
    if project is None:
        return "metadata.json"
    from tvm_tinyml.firmware import project_marker

    return project_marker(project)


def _ram_text(memory: Mapping[str, Any]) -> str:
    """What a model takes of the RAM and what the budget is."""
    parts = f"{memory['ram_bytes']:,}: activations {memory['without_scratch_bytes']:,}"
    parts += f", scratch {memory['scratch_bytes']:,}, stack {memory['stack_bytes']:,} (reserved)"
    budget = memory["ram_budget_bytes"]
    return parts if budget is None else f"{parts}; budget {budget:,}"


def _candidate_rows(layers: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Every alternative of every layer, the fastest first."""
    return [
        (
            "" if index else layer["name"],
            one["schedule"],
            one["instructions"],
            one["counted_instructions"],
            one["code_bytes"],
            one["scratch_bytes"],
            f"{'taken: ' if one['taken'] else ''}{one['reason']}",
        )
        for layer in layers
        for index, one in enumerate(layer["alternatives"])
    ]


def _pass_rows(passes: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """The model as it came, and what it cost after each pass that changed one of the figures."""
    rows: list[list[Any]] = []
    for one in passes:
        if not rows or list(one.values())[1:] != rows[-1][1:]:
            rows.append(list(one.values()))
    return rows
