"""`tvm-tinyml compile`: a model file to a C project or a Model Library Format archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .common import (
    import_model,
    json_option,
    model_argument,
    print_facts,
    print_json,
    print_table,
    progress,
    shape_text,
    target_option,
)


@click.command("compile")
@model_argument
@target_option
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder to write, or a Model Library Format archive when it ends in .tar.",
)
@click.option("--force", is_flag=True, help="Replace an existing output.")
@json_option
def compile_command(model: Path, target: str, output: Path, force: bool, as_json: bool) -> None:
    """Compile MODEL to C with one static memory plan."""
    from tvm_tinyml import relay
    from tvm_tinyml.codegen.metadata import metadata
    from tvm_tinyml.codegen.project import refuse_existing
    from tvm_tinyml.target import parse_target

    config = parse_target(target)
    refuse_existing(output, force)
    module = import_model(model)
    with progress(f"Compiling for {config}"):
        built = relay.build(module, target=config)
        if output.suffix == ".tar":
            built.export_model_library_format(output, force=force)
        else:
            built.export_folder(output, force=force)
    description = metadata(built.compiled.model, built.compiled.plan, config)
    if as_json:
        print_json(description | {"output": str(output)})
        return
    print_table("Layers", ("", "operator", "output", "shape", "MACs", "constants", "schedule"), _rows(description))
    print_facts(
        {
            "target": description["target"],
            "rounding": description["rounding"],
            "MACs": description["macs"],
            "constants (bytes)": description["constant_bytes"],
            "arena (bytes)": description["arena_bytes"],
            "lower bound (bytes)": description["memory"]["lower_bound_bytes"],
            "written to": output,
        }
    )


def _rows(description: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (
            layer["name"],
            layer["operator"],
            layer["output_tensor"],
            shape_text(layer["shape"]),
            layer["macs"],
            layer["constant_bytes"],
            layer["schedule"],
        )
        for layer in description["layers"]
    ]
