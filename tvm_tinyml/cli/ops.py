"""`tvm-tinyml ops`: which operators of a model file are understood, and what the dialect has."""

from __future__ import annotations

from typing import Any

import click

from .common import import_tvm, json_option, print_json, print_table


@click.command("ops")
@json_option
def ops_command(as_json: bool) -> None:
    """List the operators that can be compiled."""
    import_tvm()
    from tvm_tinyml.dialect import operators
    from tvm_tinyml.frontend.onnx import supported_operators as onnx_operators
    from tvm_tinyml.frontend.tflite import supported_operators

    supported, onnx = supported_operators(), onnx_operators()
    dialect: list[dict[str, Any]] = [
        {
            "name": operator.relax_name,
            "arguments": list(operator.inputs),
            "is_view": operator.is_view,
            "meaning": (operator.compute.__doc__ or "").split("\n")[0],
        }
        for operator in operators().values()
    ]
    if as_json:
        print_json({"tflite": list(supported), "onnx": list(onnx), "dialect": dialect})
        return
    print_table("TFLite operators (int8, batch 1)", ("operator",), [(name,) for name in supported])
    print_table(
        "ONNX operators (between QuantizeLinear and DequantizeLinear, or in an integer form)",
        ("operator",),
        [(name,) for name in onnx],
    )
    print_table(
        "Dialect",
        ("operator", "arguments", "meaning"),
        [(row["name"], ", ".join(row["arguments"]), row["meaning"]) for row in dialect],
    )
