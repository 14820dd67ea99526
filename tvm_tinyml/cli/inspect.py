"""`tvm-tinyml inspect`: what is in a model file: operators, shapes, work, weights, activation memory over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import (
    edges_option,
    import_tvm,
    json_option,
    model_argument,
    print_facts,
    print_json,
    print_table,
    progress,
    quantize_option,
    require_file,
    shape_text,
    terminal_width,
    trust_option,
)
from .quantization import losses_document, print_losses, quantized_network

if TYPE_CHECKING:
    from tvm_tinyml.frontend.tflite import ModelSummary, OperatorSummary
    from tvm_tinyml.memory import Program
    from tvm_tinyml.quantization import LayerLoss

# Bytes in use are a bar of this many characters at the peak, from a given width of the terminal on.
BAR_WIDTHS = ((120, 24), (90, 12), (0, 8))
# Columns that narrower terminals have no room for.
LEAST_WIDTHS = {"inputs": 110, "first output": 140}
NAME_WIDTH = 36


@click.command("inspect")
@model_argument
@trust_option
@quantize_option
@edges_option
@json_option
def inspect_command(model: Path, trust: bool, samples: Path | None, int8_edges: bool, as_json: bool) -> None:
    """Show the operators of MODEL as they are in the file.

    With shapes, MACs, weights, and the bytes of activations in use while each operator runs.
    """
    require_file(model)
    losses: Sequence[LayerLoss] = ()
    with progress(f"Reading {model.name}"):
        import_tvm()
        from tvm_tinyml.frontend.files import summarize_file, summarize_network

        if samples is None:
            summary = summarize_file(model, trust=trust, float_edges=not int8_edges)
        else:
            network, losses = quantized_network(model, samples, trust)
            summary = summarize_network(network, float_edges=not int8_edges)
    in_use = activation_bytes(summary)
    if as_json:
        print_json(_document(summary, in_use) | {"quantization": losses_document(losses)})
    else:
        print_losses(losses)
        _print(summary, in_use)


def activation_bytes(summary: ModelSummary) -> list[int]:
    """Bytes of activations that are needed while each operator runs, in the file's order of operators.

    Inputs count from the start to their last use, outputs to the end; an operator that only gives a tensor
    another shape takes no memory of its own.
    """
    from tvm_tinyml.memory import lifetimes

    program = _program(summary)
    spans = lifetimes(program)
    return [
        sum(root.nbytes for root in program.roots if spans[root.name].first <= step <= spans[root.name].last)
        for step in range(len(program.steps))
    ]


def _program(summary: ModelSummary) -> Program:
    from tvm_tinyml.frontend.tflite.node import spec_of
    from tvm_tinyml.memory import Program, Step, Tensor

    written = dict.fromkeys(summary.graph.inputs)
    aliases: dict[str, tuple[str, int]] = {}
    steps = []
    for row in summary.operators:
        reads = [tensor for tensor in row.activations if tensor in written]
        written.update(dict.fromkeys(row.operator.outputs))
        if row.is_view and reads:
            root = aliases.get(reads[0].name, (reads[0].name, 0))
            aliases.update((tensor.name, root) for tensor in row.operator.outputs)
        # A view is written with its root and reads nothing that is not there.
        writes = () if row.is_view and reads else tuple(t.name for t in row.operator.outputs)
        steps.append(Step(f"{row.operator.index}", tuple(tensor.name for tensor in reads), writes))
    return Program(
        tensors=tuple(Tensor(tensor.name, spec_of(tensor).nbytes, 1) for tensor in written),
        steps=tuple(steps),
        inputs=tuple(tensor.name for tensor in summary.graph.inputs),
        outputs=tuple(tensor.name for tensor in summary.graph.outputs if tensor in written),
        aliases=aliases,
    )


def _document(summary: ModelSummary, in_use: list[int]) -> dict[str, Any]:
    return {
        "model": summary.name,
        "macs": summary.macs,
        "weight_bytes": summary.constant_bytes,
        "peak_activation_bytes": max(in_use, default=0),
        "peak_layer": in_use.index(max(in_use)) if in_use else None,
        "inputs": [_tensor(tensor) for tensor in summary.graph.inputs],
        "outputs": [_tensor(tensor) for tensor in summary.graph.outputs],
        "layers": [
            {
                "index": row.operator.index,
                "operator": row.operator.kind,
                "inputs": [_tensor(tensor) for tensor in row.activations],
                "outputs": [_tensor(tensor) for tensor in row.operator.outputs],
                "macs": row.macs,
                "weight_bytes": row.constant_bytes,
                "activation_bytes": nbytes,
            }
            for row, nbytes in zip(summary.operators, in_use, strict=True)
        ],
    }


def _tensor(tensor: Any) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def _print(summary: ModelSummary, in_use: list[int]) -> None:
    from tvm_tinyml.memory.occupancy import shortened

    peak = max(in_use, default=0)
    width = terminal_width()
    bar = next(length for least, length in BAR_WIDTHS if width >= least)
    columns: dict[str, Callable[[OperatorSummary, int], Any]] = {
        "": lambda row, _: row.operator.index,
        "operator": lambda row, _: row.operator.kind,
        "inputs": lambda row, _: ", ".join(shape_text(tensor.shape) for tensor in row.activations),
        "outputs": lambda row, _: ", ".join(shape_text(tensor.shape) for tensor in row.operator.outputs),
        "MACs": lambda row, _: row.macs or None,
        "weights": lambda row, _: row.constant_bytes or None,
        "in use": lambda _, nbytes: nbytes,
        "over time": lambda _, nbytes: "█" * round(bar * nbytes / peak) if peak else "",
        "first output": lambda row, _: shortened(row.operator.outputs[0].name, NAME_WIDTH),
    }
    shown = [name for name in columns if width >= LEAST_WIDTHS.get(name, 0)]
    rows = [
        [columns[name](row, nbytes) for name in shown]
        for row, nbytes in zip(summary.operators, in_use, strict=True)
    ]
    print_table(summary.name, shown, rows)
    at = f" at operator {in_use.index(peak)}" if in_use else ""
    print_facts(
        {
            "inputs": ", ".join(_described(tensor) for tensor in summary.graph.inputs),
            "outputs": ", ".join(_described(tensor) for tensor in summary.graph.outputs),
            "MACs": summary.macs,
            "weights (bytes)": summary.constant_bytes,
            "activations (bytes)": f"{peak:,}{at}",
        }
    )


def _described(tensor: Any) -> str:
    quantization = f", scale {tensor.scale:.6g}, zero point {tensor.zero_point}" if tensor.scale else ""
    return f"{tensor.name} ({tensor.dtype} {shape_text(tensor.shape)}{quantization})"
