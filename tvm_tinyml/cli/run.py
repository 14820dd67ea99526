"""`tvm-tinyml run`: compile a model, run it on an emulated board or the host, and report what was measured."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from tvm_tinyml.errors import RunError

from .common import (
    import_model,
    json_option,
    model_argument,
    print_facts,
    print_json,
    print_table,
    progress,
    target_option,
)

CHECK_FAILED = 1


@click.command("run")
@model_argument
@target_option
@click.option("--board", help="Board to run on; the target's own when not given.")
@click.option(
    "--input",
    "input_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A .npy file per model input, in order.",
)
@click.option("--random", "seed", type=int, help="Random inputs from this seed.")
@click.option("--check", is_flag=True, help="Compare with the reference; exit code 1 when an output differs.")
@click.option("--save", type=click.Path(path_type=Path), help="Folder for outputs and firmware; a new one by default.")
@json_option
def run_command(
    model: Path,
    target: str,
    board: str | None,
    input_files: Sequence[Path],
    seed: int | None,
    check: bool,
    save: Path | None,
    as_json: bool,
) -> None:
    """Run MODEL once and report outputs, instructions, memory and flash."""
    from tvm_tinyml import relay
    from tvm_tinyml.reference import reference_outputs
    from tvm_tinyml.target import parse_target

    config = parse_target(target)
    module = import_model(model)
    with progress(f"Compiling for {config}"):
        built = relay.build(module, target=config).for_board(board)
    inputs = _inputs(built, input_files, seed)
    folder = save if save is not None else Path(tempfile.mkdtemp(prefix=f"{built.name}-"))
    folder.mkdir(parents=True, exist_ok=True)
    elf = folder / f"{built.name}.elf" if built.config.core.family != "host" else None
    with progress(f"Running on {built.config.board.name if built.config.board else built.config.core.name}"):
        report = built.run_many([inputs], keep_elf=elf)
    outputs = report.outputs[0]
    paths = []
    for index, output in enumerate(outputs):
        paths.append(folder / f"output_{index}.npy")
        np.save(paths[-1], output)
    reference, exact = None, None
    if check:
        with progress("Computing the reference"):
            reference, expected = reference_outputs(module, model, inputs, built.config.rounding)
        exact = all(np.array_equal(got, want) for got, want in zip(outputs, expected, strict=True))
    document: dict[str, Any] = {
        "model": built.name,
        "target": str(built.config),
        "board": report.board,
        "outputs": [str(path) for path in paths],
        "bit_exact": exact,
        "reference": reference,
        "instructions": report.instructions,
        "layers": [asdict(layer) for layer in report.layers],
        "arena_bytes": report.arena_bytes,
        "stack_bytes": report.stack_bytes,
        "flash": asdict(report.flash) if report.flash is not None else None,
        "elf": str(report.elf) if report.elf is not None else None,
    }
    if as_json:
        print_json(document)
    else:
        _print(document, outputs)
    if exact is False:
        sys.exit(CHECK_FAILED)


def _inputs(built: Any, files: Sequence[Path], seed: int | None) -> list[Any]:
    if files and seed is not None:
        raise RunError("--input and --random exclude each other")
    infos = built.compiled.model.inputs
    if not files:
        return random_inputs(infos, 0 if seed is None else seed)
    arrays = []
    for file in files:
        try:
            arrays.append(np.load(file, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise RunError(f"{file}: not a readable .npy file: {error}") from error
    return list(built.ordered(arrays))


def random_inputs(infos: Sequence[Any], seed: int) -> list[Any]:
    """Inputs over the full range of each integer type; floats that cover what the first layer quantises."""
    generator = np.random.default_rng(seed)
    arrays = []
    for info in infos:
        dtype = np.dtype(info.spec.dtype)
        if dtype.kind == "f":
            arrays.append(generator.normal(0.0, 1.0, info.spec.shape).astype(dtype))
        else:
            limits = np.iinfo(dtype)
            arrays.append(
                generator.integers(limits.min, limits.max, info.spec.shape, dtype=dtype, endpoint=True)
            )
    return arrays


def _print(document: dict[str, Any], outputs: Sequence[Any]) -> None:
    if document["layers"]:
        total = document["instructions"]
        print_table(
            "Instructions",
            ("layer", "function", "instructions", "share %"),
            [
                (layer["name"], layer["function"], layer["instructions"], 100.0 * layer["instructions"] / total)
                for layer in document["layers"]
            ],
        )
    flash = document["flash"]
    facts = {
        "target": document["target"],
        "board": document["board"],
        "instructions": document["instructions"],
        "arena (bytes)": document["arena_bytes"],
        "stack (bytes)": document["stack_bytes"],
        "flash (bytes)": ", ".join(f"{key} {value:,}" for key, value in flash.items()) if flash else None,
        "bit-exact": None if document["bit_exact"] is None else document["bit_exact"],
        "reference": document["reference"],
    }
    print_facts({name: value for name, value in facts.items() if value is not None})
    for path, output in zip(document["outputs"], outputs, strict=True):
        text = np.array2string(output.ravel(), threshold=24, max_line_width=100)
        click.echo(f"{path}: {output.dtype} {list(output.shape)} {text}")
