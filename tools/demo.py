"""`make demo`: our digits model on an emulated Cortex-M55, checked bit by bit against LiteRT.

Compiles tests/models/digits.tflite, boots the firmware once in QEMU with the held-out images, and prints what it
saw in them, whether every output byte equals the stored one of LiteRT's reference kernels (tools/make_golden.py),
and what the model costs: arena, stack, flash, and executed instructions, total and per layer.

Exit code 0 when all outputs are bit-exact, 1 when one is not, 2 when the model cannot be built or run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from tvm_tinyml import relay
from tvm_tinyml.errors import TinyMLError
from tvm_tinyml.runner.report import RunReport

MODELS = Path(__file__).resolve().parent.parent / "tests" / "models"
SHOWN = 20


def print_layers(console: Console, report: RunReport, macs: dict[str, int]) -> None:
    """Print the instructions of one inference, layer by layer."""
    table = Table(title="One inference, layer by layer", title_justify="left", title_style="bold")
    table.add_column("layer", no_wrap=True)
    for heading in ("instructions", "share", "MACs", "per MAC"):
        table.add_column(heading, justify="right", no_wrap=True)
    total = report.instructions or 0
    rows = [(layer.name, layer.instructions, macs[layer.name]) for layer in report.layers]
    for name, instructions, work in (*rows, ("total", total, sum(macs.values()))):
        each = f"{instructions / work:.1f}" if work else ""
        share = f"{instructions / total:.1%}" if total else ""
        table.add_row(name, f"{instructions:,}", share, f"{work:,}" if work else "", each)
    console.print(table)


def run_demo(console: Console, models: Path, target: str, count: int) -> bool:
    """Compile for `target`, run the first `count` golden images and print the story; True when bit-exact."""
    with np.load(models / "digits_golden.npz") as golden:
        images, labels = golden["images"][:count], golden["labels"][:count]
        expected = golden["outputs"][:count]

    with console.status("Compiling digits.tflite"):
        mod, params = relay.frontend.from_tflite(models / "digits.tflite")
        module = relay.build(mod, target=target, params=params)
    with console.status("Running it on QEMU"):
        report = module.run_many([image[np.newaxis] for image in images])
    outputs = np.concatenate([output for (output,) in report.outputs])

    predicted = outputs.argmax(axis=1)
    right = int((predicted == labels).sum())
    exact = np.array_equal(outputs, expected)
    print_layers(console, report, {layer.name: layer.macs for layer in module.compiled.model.layers})
    facts = {
        "target": str(module.config),
        "board": report.board,
        f"first {len(labels[:SHOWN])} labels": " ".join(map(str, labels[:SHOWN])),
        "predicted": " ".join(map(str, predicted[:SHOWN])),
        "accuracy": f"{right} of {len(labels)} held-out images ({right / len(labels):.2%})",
        "arena": f"{report.arena_bytes:,} bytes (lower bound {module.compiled.plan.lower_bound:,})",
    }
    if report.stack_bytes is not None:
        facts["stack"] = f"{report.stack_bytes:,} bytes"
    if report.flash is not None:
        flash = report.flash
        facts["flash"] = (
            f"{flash.total:,} bytes (text {flash.text:,}, rodata {flash.rodata:,}, data {flash.data:,})"
        )
    if report.instructions is not None:
        facts["instructions"] = f"{report.instructions:,} for one inference"
    if exact:
        facts["bit-exact"] = f"yes (all {outputs.size:,} outputs equal LiteRT's)"
    else:
        facts["bit-exact"] = (
            f"no ({int((outputs != expected).sum()):,} of {outputs.size:,} outputs differ from LiteRT's)"
        )
    width = max(map(len, facts))
    for name, value in facts.items():
        console.print(f"{name:<{width}}  {value}", highlight=False, soft_wrap=True)
    return exact


@click.command()
@click.option(
    "--target", default="tinyml -mcpu=cortex-m55", show_default=True, help="Core to compile for and run on."
)
@click.option(
    "--count",
    default=360,
    show_default=True,
    type=click.IntRange(min=1),
    help="Held-out images to run, at most 360.",
)
@click.option(
    "--models",
    default=MODELS,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of digits.tflite and digits_golden.npz.",
)
def main(target: str, count: int, models: Path) -> None:
    """Compile the digits model, run it on QEMU and compare it with LiteRT."""
    try:
        exact = run_demo(Console(), models, target, count)
    except TinyMLError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    sys.exit(0 if exact else 1)


if __name__ == "__main__":
    main()
