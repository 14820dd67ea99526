"""Every model on every Ethos-U, those that run on the functional model against the reference; prints Markdown.

    python tools/ethos_u_matrix.py MODEL.tflite ... [--inputs 20] [--firmware-macs 30000000] > table.md

A line is exact when all outputs of all inputs equal the reference (the NumPy semantics of the dialect, rounded as
TensorFlow Lite Micro does) on the host, and those of the first input on the emulated Cortex-M55, where models of more
multiply-accumulates than --firmware-macs are left out: emulation takes minutes then. The exit code is 1 when one is
not exact.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvm_tinyml import frontend, relay
from tvm_tinyml.reference import reference_outputs
from tvm_tinyml.relay import AOTModule
from tvm_tinyml.target import list_npus

COLUMNS = (
    "model",
    "target",
    "operators on NPU",
    "on CPU",
    "networks",
    "commands and weights",
    "arena",
    "est. NPU cycles (Vela)",
    "inputs",
    "host",
    "firmware",
)


def random_inputs(module: Any, count: int) -> list[list[Any]]:
    """Inputs over the whole range of their types."""
    generator = np.random.default_rng(0)
    batches = []
    for _ in range(count):
        batch = []
        for parameter in module["main"].params:
            shape, dtype = [int(extent) for extent in parameter.ty.shape], np.dtype(str(parameter.ty.dtype))
            if dtype.kind == "f":
                batch.append(generator.normal(0, 2, shape).astype(dtype))
            else:
                limits = np.iinfo(dtype)
                batch.append(generator.integers(limits.min, limits.max + 1, shape).astype(dtype))
        batches.append(batch)
    return batches


def wrong(module: AOTModule, batches: Sequence[Any], expected: Sequence[Any]) -> int:
    """How many elements of all outputs differ."""
    outputs = module.run_many(batches, profile=False).outputs
    return sum(
        int(np.count_nonzero(one != other))
        for got, wanted in zip(outputs, expected, strict=True)
        for one, other in zip(got, wanted, strict=True)
    )


def operators_in(placement: Any) -> int:
    """Operators of the model file on the NPU."""
    return sum(len(network["operators"]) for network in placement["networks"])


def line(model: Path, module: Any, options: str, known: tuple[Any, Any], firmware_macs: int) -> list[object]:
    """One line of the table; `known`: inputs and expected outputs."""
    batches, expected = known
    host = relay.build(module, target=f"tinyml -mcpu=host {options}")
    description = host.metadata
    differing = wrong(host, batches, expected)
    firmware = "not run"
    if description["macs"] <= firmware_macs:
        built = relay.build(module, target=f"tinyml -mcpu=cortex-m55 {options}")
        found = wrong(built, batches[:1], expected[:1])
        firmware = f"{found} differ" if found else "exact"
    return [
        *figures(model, description, options),
        len(batches),
        f"{differing} differ" if differing else "exact",
        firmware,
    ]


def compiled_line(model: Path, module: Any, options: str) -> list[object]:
    """A line for an NPU that is compiled for, and not run."""
    description = relay.build(module, target=f"tinyml -mcpu=cortex-m55 {options}").metadata
    return [*figures(model, description, options), 0, "not run", "not run"]


def figures(model: Path, description: Any, options: str) -> list[object]:
    """What is known of a model that was compiled."""
    placement = description["npu"]
    estimates = [network["estimated_by_vela"]["cycles"] for network in placement["networks"]]
    return [
        model.stem,
        f"`{options}`",
        operators_in(placement),
        len(placement["on_cpu"]),
        len(placement["networks"]),
        f"{sum(one['command_bytes'] + one['weight_bytes'] for one in placement['networks']):,}",
        f"{description['arena_bytes']:,}",
        f"{sum(estimates):,}",
    ]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--inputs", type=int, default=20)
    parser.add_argument("--firmware-macs", type=int, default=30_000_000)
    parser.add_argument("--extra", default="", help="further target options, such as -npu-ignore=SOFTMAX")
    arguments = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS), flush=True)
    failed = False
    for model in arguments.models:
        module, _ = frontend.from_tflite(model)
        batches = random_inputs(module, arguments.inputs)
        expected = [reference_outputs(module, None, batch, "tflm")[1] for batch in batches]
        for npu in list_npus():
            options = f"-npu={npu.name} {arguments.extra}".strip()
            if npu.functional_model:
                row = line(model, module, options, (batches, expected), arguments.firmware_macs)
                failed |= "differ" in f"{row[-2]} {row[-1]}"
            else:
                row = compiled_line(model, module, options)
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
