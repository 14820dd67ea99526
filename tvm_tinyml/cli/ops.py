"""`tvm-tinyml ops`: which operators of a model file are understood, and what the dialect has."""

from __future__ import annotations

import click

from .common import json_option, print_json, print_table


@click.command("ops")
@json_option
def ops_command(as_json: bool) -> None:
    """List the TFLite operators that can be compiled and the operators of the dialect."""
    from tvm_tinyml.dialect import operators
    from tvm_tinyml.frontend.tflite import supported_operators

    supported = supported_operators()
    if as_json:
        print_json(
            {
                "tflite": supported,
                "dialect": {name: list(operator.inputs) for name, operator in operators().items()},
            }
        )
        return
    print_table("TFLite operators", ("operator",), [(name,) for name in supported])
    print_table(
        "Dialect",
        ("operator", "arguments", "meaning"),
        [
            (operator.relax_name, ", ".join(operator.inputs), (operator.compute.__doc__ or "").split("\n")[0])
            for operator in operators().values()
        ],
    )
