"""What the subcommands share: their arguments, progress, tables and JSON output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from tvm_tinyml.errors import ModelError

Function = TypeVar("Function", bound=Callable[..., Any])

model_argument = click.argument("model", type=click.Path(path_type=Path))
target_option = click.option(
    "--target",
    "-t",
    required=True,
    metavar="TARGET",
    help='For example "tinyml -mcpu=cortex-m55"; `tvm-tinyml targets` lists cores, boards and options.',
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")


@contextmanager
def progress(message: str) -> Iterator[None]:
    """Show what is being done, on standard error and only to a person."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(message):
            yield
    else:
        yield


def import_model(path: Path) -> Any:
    """Relax module of a model file.

    Raises ModelError when the file cannot be read, is not of a known kind, or is broken.
    """
    from tvm_tinyml import frontend

    if not path.is_file():
        raise ModelError(f"{path}: no such file; pass a .tflite model")
    with progress(f"Reading {path.name}"):
        module, _ = frontend.from_tflite(path)
    return module


def print_json(document: Mapping[str, Any]) -> None:
    """Write one JSON document to standard output."""
    click.echo(json.dumps(document, indent=1))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; numbers are grouped and aligned to the right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _console().print(table)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print name and value pairs, one per line."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {_cell(value)}")


def _console() -> Console:
    # A pipe has no width of its own: wide enough that no table is cut.
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)


def shape_text(shape: Sequence[int]) -> str:
    """A shape as people write it: 1x32x32x16."""
    return "x".join(str(extent) for extent in shape) or "scalar"
