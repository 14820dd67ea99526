"""`tvm-tinyml bench`: one table of instructions and memory over models and targets, checked against the reference."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from tvm_tinyml.errors import BuildError, PlanError

from .common import import_model, json_option, print_json, print_table, progress
from .run import CHECK_FAILED, random_inputs

COLUMNS = (
    "model",
    "target",
    "board",
    "MACs",
    "instructions",
    "per MAC",
    "arena",
    "lower bound",
    "stack",
    "text",
    "rodata",
    "data",
    "bit-exact",
    "reference",
)


@click.command("bench")
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--target", "-t", "targets", multiple=True, required=True, help="Repeat for several targets.")
@click.option("--inputs", "count", default=5, show_default=True, help="Random inputs to check per model and target.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for results.csv and results.md.")
@json_option
def bench_command(
    models: Sequence[Path], targets: Sequence[str], count: int, output: Path | None, as_json: bool
) -> None:
    """Run MODELS on every target; bytes and exact instructions of one inference."""
    rows = [row for model in models for row in _bench_model(model, targets, count)]
    if output is not None:
        _write(output, rows)
    if as_json:
        print_json({"results": rows})
    else:
        print_table("Results", COLUMNS, [tuple(row[column] for column in COLUMNS) for row in rows])
    if any(row["bit-exact"] == "no" for row in rows):
        sys.exit(CHECK_FAILED)


def _bench_model(path: Path, targets: Sequence[str], count: int) -> list[dict[str, Any]]:
    from tvm_tinyml import relay
    from tvm_tinyml.reference import reference_outputs
    from tvm_tinyml.target import parse_target

    configs = [parse_target(target) for target in targets]
    module = import_model(path)
    rows = []
    references: dict[str, tuple[str, list[list[Any]]]] = {}
    for config in configs:
        with progress(f"{path.stem} on {config}"):
            try:
                built = relay.build(module, target=config)
                inputs = [random_inputs(built.compiled.model.inputs, seed) for seed in range(count)]
                report = built.run_many(inputs)
            except (PlanError, BuildError) as error:
                rows.append(_empty_row(path, str(config), f"does not fit: {error}"))
                continue
            if config.rounding not in references:
                answers = [reference_outputs(module, path, one, config.rounding) for one in inputs]
                references[config.rounding] = (answers[0][0], [outputs for _, outputs in answers])
        name, expected = references[config.rounding]
        exact = all(
            np.array_equal(got, want)
            for outputs, wanted in zip(report.outputs, expected, strict=True)
            for got, want in zip(outputs, wanted, strict=True)
        )
        macs = sum(layer.macs for layer in built.compiled.model.layers)
        flash = report.flash
        rows.append(
            {
                "model": path.stem,
                "target": str(config),
                "board": report.board,
                "MACs": macs,
                "instructions": report.instructions,
                "per MAC": round(report.instructions / macs, 3) if report.instructions and macs else None,
                "arena": report.arena_bytes,
                "lower bound": built.compiled.plan.lower_bound,
                "stack": report.stack_bytes,
                "text": flash.text if flash else None,
                "rodata": flash.rodata if flash else None,
                "data": flash.data if flash else None,
                "bit-exact": "yes" if exact else "no",
                "reference": name,
            }
        )
    return rows


def _empty_row(path: Path, target: str, note: str) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"model": path.stem, "target": target, "bit-exact": note.split(";")[0]}


def _write(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (folder / "results.csv").write_text(text.getvalue())
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    for row in rows:
        cells = [f"{value:,}" if isinstance(value, int) else str(value or "–") for value in row.values()]
        lines.append("| " + " | ".join(cells) + " |")
    (folder / "results.md").write_text("\n".join(lines) + "\n")
