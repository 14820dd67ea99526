"""`tvm-tinyml bench`: one table of instructions and memory over models and targets, checked against the reference."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_tinyml.errors import BuildError, PlanError, RunError, TinyMLError
from tvm_tinyml.output import refuse_existing, write_text

from .common import (
    Model,
    edges_option,
    force_option,
    import_model,
    import_tvm,
    json_option,
    measure_option,
    opt_option,
    print_json,
    print_table,
    quantize_option,
    target_config,
    trust_option,
)
from .compare import Extras, extra_options
from .quantization import losses_document, print_losses
from .results import COLUMNS, CSV_FILE, HEADINGS, MARKDOWN_FILE, TERMINAL_COLUMNS, csv_text, markdown_text
from .run import CHECK_FAILED

if TYPE_CHECKING:
    from tvm_tinyml.module import AOTModule
    from tvm_tinyml.target import TargetConfig

    from .tensors import Array


@click.command("bench")
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--target",
    "-t",
    "targets",
    multiple=True,
    required=True,
    metavar="TARGET",
    help="Repeat for several targets.",
)
@opt_option
@measure_option
@click.option(
    "--compiler",
    type=click.Choice(["gcc", "clang", "both"]),
    help="Build every target with this compiler, or with both where its core allows both, and mark the better.",
)
@click.option(
    "--inputs",
    "count",
    default=5,
    show_default=True,
    type=click.IntRange(min=1),
    help="Random inputs to check per model and target.",
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help=f"Folder for {CSV_FILE} and {MARKDOWN_FILE}."
)
@trust_option
@quantize_option
@edges_option
@extra_options
@force_option
@json_option
def bench_command(
    models: Sequence[Path],
    targets: Sequence[str],
    opt: str | None,
    measure: bool,
    compiler: str | None,
    count: int,
    output: Path | None,
    cycles: bool,
    peers: Path | None,
    plots: bool,
    trust: bool,
    samples: Path | None,
    int8_edges: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Measure MODELS on every target and check their outputs.

    Instructions are those of one inference and exact, sizes are in bytes. Lines of one target and several compilers
    (--compiler, or targets that differ in -compiler) are compared. A model that does not fit a target is a line with
    the reason. The exit code is 1 when an output differs from the reference or a program fails.
    """
    configs = _built_with([target_config(target, opt) for target in targets], compiler)
    if any(config.npu is not None for config in configs):
        raise click.UsageError(
            "bench counts instructions of cores; `run` and `compile` say what there is of an NPU"
        )
    extras = Extras.prepare(cycles, peers, plots, output, configs)
    if output is not None:
        for name in (CSV_FILE, MARKDOWN_FILE, *extras.files):
            refuse_existing(output / name, force)
    import_tvm()
    tools = _tools(configs)
    imported = [import_model(path, trust=trust, samples=samples, int8_edges=int8_edges) for path in models]
    rows: list[dict[str, Any]] = []
    for model in imported:
        bench = _ModelBench(model, count, extras, measure, trust)
        for config in configs:
            position = f"[{len(rows) + 1}/{len(imported) * len(configs)}]"
            click.echo(f"{position} {model.path.stem} on {config}", err=True)
            rows.append(bench.row(config))
    mark_best(rows, [str(config.with_default_compiler) for _ in imported for config in configs])
    if output is not None:
        texts = {CSV_FILE: csv_text(rows), MARKDOWN_FILE: markdown_text(rows, tools, count), **extras.texts()}
        for name, text in texts.items():
            write_text(output / name, text, force=force)
    if as_json:
        losses = {model.path.stem: losses_document(model.losses) for model in imported}
        document = {"inputs": count, "tools": tools, "results": rows, "quantization": losses}
        print_json(document | extras.document())
    else:
        for model in imported:
            print_losses(model.losses)
        shown = [column for column in TERMINAL_COLUMNS if any(row[column] is not None for row in rows)]
        headings = [HEADINGS[column] for column in shown]
        print_table("Results", headings, [[row[column] for column in shown] for row in rows])
        for row in rows:
            if row["failure"] is not None:
                click.echo(f"{row['model']} on {row['target']}: {row['failure']}")
        extras.show()
    if any(row["bit_exact"] is False for row in rows):
        sys.exit(CHECK_FAILED)


def _built_with(configs: Sequence[TargetConfig], compiler: str | None) -> list[TargetConfig]:
    """The targets, each with the compilers asked for and once; TargetError for one that its core cannot have."""
    if compiler is None:
        return list(configs)
    return list(
        dict.fromkeys(
            config.with_compiler(name)
            for config in configs
            for name in (config.core.flags if compiler == "both" else (compiler,))
        )
    )


def mark_best(rows: Sequence[dict[str, Any]], targets: Sequence[str]) -> None:
    """Say for each model and target that several compilers built which one needs the fewest instructions.

    targets: of each row, without the compiler. Rows that are not exact do not take part.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row, target in zip(rows, targets, strict=True):
        if row["instructions"] is not None and row["bit_exact"]:
            groups.setdefault((row["model"], target), []).append(row)
    for group in groups.values():
        if len(group) > 1:
            best = min(group, key=lambda row: row["instructions"])
            for row in group:
                row["best"] = row is best


def _tools(configs: Sequence[TargetConfig]) -> dict[str, str]:
    """Version of every program the results depend on, by name.

    BuildError or RunError when one is missing, before any work is done; RunError for a target that cannot run here.
    """
    from tvm_tinyml.module import runner_of
    from tvm_tinyml.runner.tools import require_program, run_tool

    programs: dict[str, type[TinyMLError]] = {}
    for config in configs:
        runner_of(config)
        programs[config.compiler_command()[0]] = BuildError
        if config.board is not None and config.board.qemu is not None:
            programs[config.linker_command()[0]] = BuildError
            programs[config.board.qemu.binary] = RunError
    for program, error in programs.items():
        require_program(program, error)
    return {
        program: run_tool(
            [program, "--version"], Path.cwd(), f"asking {program} for its version"
        ).splitlines()[0]
        for program in sorted(programs)
    }


class _ModelBench:
    """One model on one target after the other; inputs and references are the same for all of them."""

    def __init__(self, model: Model, count: int, extras: Extras, measure: bool, trust: bool) -> None:
        from .tensors import random_inputs

        self.model = model
        self.extras = extras
        self.measure = measure
        # Of the file: passes may leave less to do, which must show as fewer instructions for the same work.
        self.macs = model.macs(trust=trust)
        self.inputs = [random_inputs(model.signature["inputs"], seed) for seed in range(count)]
        self._references: dict[str, tuple[str, list[list[Array]]]] = {}
        self._built: dict[Any, AOTModule] = {}

    def row(self, config: TargetConfig) -> dict[str, Any]:
        """Figures of one target, or what is known before the failure and its reason."""
        from tvm_tinyml.runner.tools import ToolError

        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row |= {"model": self.model.path.stem, "target": str(config), "compiler": config.compiler}
        row["macs"] = self.macs
        try:
            self._measure(config, row)
        except (PlanError, BuildError, RunError) as error:
            # Not fitting is a property of the pair; code that does not compile or run is a failed check.
            failed = isinstance(error, RunError | ToolError)
            row |= {"bit_exact": False if failed else None, "failure": str(error).splitlines()[0]}
        return row

    def _measure(self, config: TargetConfig, row: dict[str, Any]) -> None:
        """Fill in `row` as far as the target gets."""
        from .tensors import mismatches

        built = self._build(config)
        memory = built.metadata["memory"]
        row |= {
            "arena_bytes": memory["arena_bytes"],
            "arena_without_scratch_bytes": memory["without_scratch_bytes"],
            "lower_bound_bytes": memory["lower_bound_bytes"],
        }
        report, columns = self.extras.run(row["model"], built, self.inputs)
        row |= columns
        row |= {"board": report.board, "instructions": report.instructions, "stack_bytes": report.stack_bytes}
        if report.instructions is not None and self.macs:
            row["instructions_per_mac"] = round(report.instructions / self.macs, 3)
        if report.flash is not None:
            row |= {f"{section}_bytes": size for section, size in asdict(report.flash).items()}
        row["reference"], expected = self._reference(config.rounding)
        differing = [mismatches(got, want) for got, want in zip(report.outputs, expected, strict=True)]
        row["bit_exact"] = not any(any(counts) for counts in differing)

    def _build(self, config: TargetConfig) -> AOTModule:
        """The model for `config`, scheduled once for all targets that get the same code.

        Measured schedules are those of one compiler and board, which another one may count differently.
        """
        from tvm_tinyml import relay

        key = (config if self.measure else None, config.code_key)
        if key in self._built:
            return self._built[key].for_target(config)
        built = relay.build(self.model.module, target=config, measure=self.measure)
        return self._built.setdefault(key, built)

    def _reference(self, rounding: str) -> tuple[str, list[list[Array]]]:
        from tvm_tinyml.reference import reference_outputs

        if rounding not in self._references:
            answers = [
                reference_outputs(self.model.module, self.model.tflite_file, inputs, rounding)
                for inputs in self.inputs
            ]
            self._references[rounding] = (answers[0][0], [outputs for _, outputs in answers])
        return self._references[rounding]
