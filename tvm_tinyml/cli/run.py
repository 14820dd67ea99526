"""`tvm-tinyml run`: compile a model, run it on an emulated board or the host, and report what was measured."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_tinyml.output import refuse_existing, write_whole

from .common import (
    Model,
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
    progress,
    quantize_option,
    target_config,
    target_option,
    trust_option,
)
from .estimator import NO_MODEL, require_estimator
from .npu import npu_cycles, npu_facts, on_cpu
from .quantization import losses_document, print_losses

if TYPE_CHECKING:
    from tvm_tinyml.module import AOTModule
    from tvm_tinyml.runner import RunReport
    from tvm_tinyml.target import TargetConfig

    from .tensors import Array

CHECK_FAILED = 1
REPORT = "report.json"


@click.command("run")
@model_argument
@target_option
@opt_option
@measure_option
@trust_option
@quantize_option
@edges_option
@point_option
@click.option(
    "--board",
    help='Board to run on, or "host", or "zephyr:NAME" in your Zephyr; the target\'s own when not given.',
)
@click.option(
    "--input",
    "input_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A .npy file; repeat for each model input, in order.",
)
@click.option(
    "--random", "seed", type=click.IntRange(min=0), help="Random inputs from this seed (default: 0)."
)
@click.option(
    "--cycles", is_flag=True, help="Estimate cycles with llvm-mca; nothing for cores that it has no model of."
)
@click.option("--check", is_flag=True, help="Compare with the reference; exit code 1 when an output differs.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help=f"Folder for outputs, firmware and {REPORT}; a new temporary one when not given.",
)
@force_option
@json_option
def run_command(
    model: Path,
    target: str,
    opt: str | None,
    measure: bool,
    trust: bool,
    samples: Path | None,
    int8_edges: bool,
    point: int | None,
    board: str | None,
    input_files: Sequence[Path],
    seed: int | None,
    cycles: bool,
    check: bool,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Run one inference of MODEL, on an emulated board or here.

    Reports outputs, exact instructions in total and per layer, arena, stack and flash.
    """
    if input_files and seed is not None:
        raise click.UsageError("--input and --random exclude each other")
    config = target_config(target, opt)
    if output is not None:
        refuse_existing(output, force, REPORT)
    imported = import_model(model, trust=trust, samples=samples, int8_edges=int8_edges)

    from .tensors import random_inputs, read_inputs

    config = _config_to_run(config, board)
    if cycles and _in_zephyr(board):
        raise click.UsageError("--cycles needs counted instructions, and nothing is counted in Zephyr")
    if cycles:
        require_estimator([config])
    described = imported.signature["inputs"]
    inputs = read_inputs(input_files, described) if input_files else random_inputs(described, seed or 0)
    with tempfile.TemporaryDirectory(prefix="tvm-tinyml-") as scratch:
        elf = Path(scratch) / f"{imported.signature['name']}.elf"
        built = build(imported, config, measure, point)
        report = _run(built, imported, inputs, elf, cycles, board)
        estimated = {"estimated_cycles": _estimate(report, config)} if cycles else {}
        verdict = _verdict(imported, config, inputs, report.outputs[0], check)
        place = output or Path(tempfile.mkdtemp(prefix="tvm-tinyml-")) / imported.signature["name"]
        document = _document(imported, config, report, verdict, place) | estimated
        document["layers"] = _layers(built, report)
        document["npu"] = _npu(built.metadata, document["layers"], estimated.get("estimated_cycles"))
        document["quantization"] = losses_document(imported.losses)
        document["memory"] = _measured(built.metadata["memory"], report.stack_bytes)
        document["pulled"] = {one["name"]: one["pulled"] for one in built.metadata["inputs"] if one["pulled"]}
        _save(place, report, document, force)
    if as_json:
        print_json(document)
    else:
        print_losses(imported.losses)
        _print(document, report.outputs[0])
    if document["bit_exact"] is False:
        sys.exit(CHECK_FAILED)


def _in_zephyr(board: str | None) -> bool:
    from tvm_tinyml.runner import zephyr_board

    return zephyr_board(board) is not None


def _config_to_run(config: TargetConfig, board: str | None) -> TargetConfig:
    from tvm_tinyml.module import config_for_board, runner_of
    from tvm_tinyml.runner import require_zephyr, zephyr_board

    if (name := zephyr_board(board)) is not None:
        require_zephyr(name)
        return config
    config = config_for_board(config, board)
    runner_of(config)
    return config


def _run(
    built: AOTModule,
    model: Model,
    inputs: Sequence[Array],
    elf: Path,
    address_counts: bool,
    board: str | None,
) -> RunReport:
    config = built.config
    if _in_zephyr(board):
        with progress(f"Running {model.path.name} on {board}"):
            return built.run_many([inputs], board=board, keep_elf=elf)
    where = config.board.name if config.board is not None else config.core.name
    with progress(f"Running {model.path.name} on {where}"):
        keep_elf = None if config.core.family == "host" else elf
        return built.run_many([inputs], keep_elf=keep_elf, address_counts=address_counts)


def _layers(built: AOTModule, report: RunReport) -> list[dict[str, Any]]:
    """Counted instructions of every layer beside the estimate of its schedule, and why it is slow if it is."""
    from tvm_tinyml.profile.reasons import reasons
    from tvm_tinyml.profile.work import layer_work, slowdown_in_class

    if not report.layers:
        return []
    layers = layer_work(built.metadata, report.layers, None)
    return [
        asdict(count)
        | {
            "schedule": layer.schedule,
            "estimated_instructions": layer.estimated_instructions,
            "slowdown_in_class": None if slowdown is None else round(slowdown, 3),
            "reason": reason,
        }
        for count, layer, slowdown, reason in zip(
            report.layers,
            layers,
            slowdown_in_class(layers),
            reasons(layers, built.config.core.name),
            strict=True,
        )
    ]


def _npu(
    description: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], estimate: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The placement with the figures of both parts; counts of networks are those of the functional model."""
    placement = description["npu"]
    if placement is None:
        return None
    cycles = None
    if estimate is not None:
        cycles = on_cpu(description["layers"], estimate["layers"], "cycles")
    return {
        **placement,
        "estimated_npu_cycles": npu_cycles(placement),
        "cpu_instructions": on_cpu(description["layers"], layers, "instructions") if layers else None,
        "estimated_cpu_cycles": cycles,
    }


def _estimate(report: RunReport, config: TargetConfig) -> dict[str, Any] | None:
    from tvm_tinyml.profile.cycles import estimate_cycles

    with progress("Estimating cycles"):
        estimate = estimate_cycles(report, config)
    return None if estimate is None else asdict(estimate)


def _verdict(
    model: Model, config: TargetConfig, inputs: Sequence[Array], outputs: Sequence[Array], check: bool
) -> dict[str, Any]:
    """What the comparison with the reference says; everything unknown without a check."""
    if not check:
        return {"bit_exact": None, "reference": None, "mismatches": None}
    from tvm_tinyml.reference import reference_outputs

    from .tensors import mismatches

    with progress("Computing the reference"):
        reference, expected = reference_outputs(model.module, model.tflite_file, inputs, config.rounding)
    differing = mismatches(outputs, expected)
    return {"bit_exact": not any(differing), "reference": reference, "mismatches": differing}


def _document(
    model: Model, config: TargetConfig, report: RunReport, verdict: Mapping[str, Any], place: Path
) -> dict[str, Any]:
    return {
        "model": model.signature["name"],
        "target": str(config),
        "board": report.board,
        "outputs": [str(place / _output_name(index)) for index in range(len(report.outputs[0]))],
        **verdict,
        "instructions": report.instructions,
        "arena_bytes": report.arena_bytes,
        "stack_bytes": report.stack_bytes,
        "flash": None if report.flash is None else asdict(report.flash),
        "elf": None if report.elf is None else str(place / report.elf.name),
    }


def _output_name(index: int) -> str:
    return f"output_{index}.npy"


def _save(place: Path, report: RunReport, document: Mapping[str, Any], force: bool) -> None:
    import numpy as np

    def write(folder: Path) -> None:
        folder.mkdir()
        for index, value in enumerate(report.outputs[0]):
            np.save(folder / _output_name(index), value)
        if report.elf is not None:
            shutil.copyfile(report.elf, folder / report.elf.name)
        (folder / REPORT).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    write_whole(place, write, force=force, marker=REPORT)


def _print(document: Mapping[str, Any], outputs: Sequence[Array]) -> None:
    estimate = document.get("estimated_cycles")
    if document["layers"]:
        columns = ["layer", "schedule", "instructions", "share", "estimate"]
        rows = [
            [
                layer["name"],
                layer["schedule"],
                layer["instructions"],
                f"{layer['instructions'] / document['instructions']:.1%}",
                layer["estimated_instructions"],
            ]
            for layer in document["layers"]
        ]
        if estimate is not None:
            columns += ["est. cycles", "+ register lists"]
            for row, layer in zip(rows, estimate["layers"], strict=True):
                row += [layer["cycles"], layer["register_lists"]]
        print_table("One inference, layer by layer", columns, rows)
        for layer in document["layers"]:
            if layer["reason"] is not None:
                slow = f"{layer['slowdown_in_class']:.1f}x the instructions per MAC of the best of its class"
                click.echo(f"{layer['name']}: {slow} ({layer['reason']})")
    flash = document["flash"]
    print_facts(
        {
            "target": document["target"],
            "board": document["board"],
            "instructions": document["instructions"],
            **npu_facts(document["npu"]),
            "estimated cycles": _cycles_text(estimate) if "estimated_cycles" in document else None,
            "arena (bytes)": document["arena_bytes"],
            "stack (bytes)": document["stack_bytes"],
            "RAM (bytes)": _ram_text(document["memory"]),
            **{f"fetched of {name}": _pulled_text(pulled) for name, pulled in document["pulled"].items()},
            "flash (bytes)": flash and ", ".join(f"{section} {size:,}" for section, size in flash.items()),
            "bit-exact": _exactness(document, outputs),
            "firmware": document["elf"],
        }
    )
    for path, value in zip(document["outputs"], outputs, strict=True):
        click.echo(f"{path}: {value.dtype} {list(value.shape)}\n  {_values(value)}")


def _measured(memory: Mapping[str, Any], stack_bytes: int | None) -> dict[str, Any]:
    """The memory of a build with the measured stack in the place of the reserved one."""
    ram_bytes = None if stack_bytes is None else memory["arena_bytes"] + stack_bytes
    return {**memory, "stack_bytes": stack_bytes, "ram_bytes": ram_bytes}


def _ram_text(memory: Mapping[str, Any]) -> str | None:
    """What an inference took of the RAM, and the budget; None where the stack was not measured."""
    if memory["stack_bytes"] is None:
        return None
    parts = f"{memory['ram_bytes']:,}: activations {memory['without_scratch_bytes']:,}"
    parts += f", scratch {memory['scratch_bytes']:,}, stack {memory['stack_bytes']:,}"
    budget = memory["ram_budget_bytes"]
    return parts if budget is None else f"{parts}; budget {budget:,}"


def _pulled_text(pulled: Mapping[str, Any]) -> str:
    most = max(one["times"] for one in pulled["row_fetches"])
    return f"{pulled['requested_bytes']:,} bytes in {pulled['requests']:,} requests, each row at most {most} times"


def _cycles_text(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return NO_MODEL
    return f"{estimate['total']:,} + {estimate['register_lists']:,} for register lists ({estimate['method']})"


def _exactness(document: Mapping[str, Any], outputs: Sequence[Array]) -> str | None:
    if document["bit_exact"] is None:
        return None
    if document["bit_exact"]:
        return f"yes (reference: {document['reference']})"
    counts = ", ".join(
        f"output {index}: {count:,} of {value.size:,} elements differ"
        for index, (count, value) in enumerate(zip(document["mismatches"], outputs, strict=True))
        if count
    )
    return f"no (reference: {document['reference']}; {counts})"


def _values(value: Array) -> str:
    import numpy as np

    return np.array2string(value.ravel(), threshold=24, max_line_width=100, prefix="  ")
