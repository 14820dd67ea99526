"""What the subcommands share: their arguments, the model, progress, tables and JSON output."""

from __future__ import annotations

import gc
import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tvm_tinyml.errors import ModelError

if TYPE_CHECKING:
    from tvm_tinyml.frontend.qdq import Network
    from tvm_tinyml.module import AOTModule
    from tvm_tinyml.quantization import LayerLoss
    from tvm_tinyml.target import TargetConfig

# A pipe has no width of its own: wide enough that no table is cut.
PIPE_WIDTH = 160
WIDEST_MAP = 140
"""Characters per line of a memory map."""

model_argument = click.argument("model", type=click.Path(path_type=Path))
target_option = click.option(
    "--target",
    "-t",
    required=True,
    metavar="TARGET",
    help='For example "tinyml -mcpu=cortex-m55"; `tvm-tinyml targets` lists cores, boards and options.',
)
opt_option = click.option(
    "--opt",
    type=click.Choice(["balanced", "size", "speed"]),
    help="What schedules are chosen for, instead of what the target says: few instructions, little code, or both.",
)
measure_option = click.option(
    "--measure",
    is_flag=True,
    help="Choose schedules by running all candidates of every layer on the emulated board, not by estimates.",
)
trust_option = click.option(
    "--trust-archive",
    "trust",
    is_flag=True,
    help="Load a .pt2 archive of PyTorch, which can run code that somebody put into it.",
)
quantize_option = click.option(
    "--quantize",
    "samples",
    type=click.Path(path_type=Path),
    help="A .npz file of sample inputs: quantise a float .onnx or .pt2 model with them first.",
)
edges_option = click.option(
    "--int8-edges",
    "int8_edges",
    is_flag=True,
    help="Inputs and outputs of an .onnx or .pt2 model are the int8 tensors next to its float ones.",
)
point_option = click.option(
    "--point",
    type=click.IntRange(min=0),
    help="Stream as plan N of `plan --pareto` for the same target does.",
)
force_option = click.option("--force", is_flag=True, help="Replace an existing output.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of tables."
)


@dataclass(frozen=True)
class Model:
    """An imported model file.

    signature: name, inputs and outputs as the importer describes them.
    losses: of its layers, when it was quantised here, and network: what it has become then.
    """

    path: Path
    module: Any
    signature: Mapping[str, Any]
    losses: Sequence[LayerLoss] = ()
    network: Network | None = None

    def macs(self, *, trust: bool) -> int:
        """Multiply-accumulates of the model before any pass; `trust` as for `import_model`."""
        from tvm_tinyml.frontend.files import summarize_file, summarize_network

        if self.network is None:
            return summarize_file(self.path, trust=trust).macs
        return summarize_network(self.network).macs

    @property
    def tflite_file(self) -> Path | None:
        """The file when LiteRT can run it."""
        from tvm_tinyml.frontend.files import TFLITE, kind_of

        return self.path if kind_of(self.path) == TFLITE else None


def target_config(target: str, opt: str | None) -> TargetConfig:
    """The target with the objective of `--opt`, if one is given; TargetError for what is no target."""
    from tvm_tinyml.target import parse_target
    from tvm_tinyml.target.config import Objective

    config = parse_target(target)
    return config if opt is None else replace(config, opt=cast(Objective, opt))


@contextmanager
def progress(message: str) -> Iterator[None]:
    """Show what is being done, on standard error and only to a person."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(Text(message)):
            yield
    else:
        yield


def import_model(
    path: Path, *, trust: bool = False, samples: Path | None = None, int8_edges: bool = False
) -> Model:
    """Read a model file; `trust`: one whose loading can run code, too; `samples`: and quantise it with those.

    int8_edges: without the float tensors at the edges of an .onnx or .pt2 model.

    Raises ModelError when it cannot be read, is not of a known kind, or is broken; UnsupportedError when it uses
    something that cannot be compiled; RunError when samples do not fit.
    """
    require_file(path)
    losses: Sequence[LayerLoss] = ()
    network: Network | None = None
    with progress(f"Reading {path.name}" if samples is None else f"Quantising {path.name}"):
        import_tvm()
        from tvm_tinyml import frontend
        from tvm_tinyml.lower import SIGNATURE_ATTR

        if samples is None:
            module, _ = frontend.from_file(path, trust=trust, float_edges=not int8_edges)
        else:
            from tvm_tinyml.frontend.qdq import import_network

            from .quantization import quantized_network

            network, losses = quantized_network(path, samples, trust)
            module = import_network(network, float_edges=not int8_edges)
    return Model(path, module, json.loads(module["main"].attrs[SIGNATURE_ATTR]), losses, network)


def build(model: Model, config: TargetConfig, measure: bool, point: int | None) -> AOTModule:
    """Compile for a target; `point`: by the plan of that number of its front.

    UsageError when there is no such plan, and what `relay.build` raises.
    """
    from tvm_tinyml import relay

    patch = None
    if point is not None:
        from .front import find_front, plan_at

        with progress(f"Searching plans of {model.path.name} for {config}"):
            patch = plan_at(find_front(model, config), point).plan
    with progress(f"Compiling {model.path.name} for {config}"):
        return relay.build(model.module, target=config, patch=patch, measure=measure)


def import_tvm() -> None:
    """Import TVM without PyTorch, which it imports where there is one to exchange tensors with it.

    The command exchanges none, and PyTorch takes longer to import than TVM. What reads its archives imports it later.
    """
    if sys.modules.keys().isdisjoint({"torch", "tvm_ffi"}):
        # A name without a module is one that cannot be imported.
        hidden = cast(ModuleType, None)
        sys.modules["torch"] = hidden
        # A sixth of the time would go into looking for garbage among what stays to the end.
        gc.disable()
        try:
            importlib.import_module("tvm")
            importlib.import_module("tvm_tinyml.frontend")
        finally:
            gc.freeze()
            gc.enable()
            del sys.modules["torch"]


def require_file(path: Path) -> None:
    """Raise ModelError when there is no model file at `path`, before anything slow is imported."""
    if path.is_dir():
        raise ModelError(f"{path} is a folder; pass a .tflite, .onnx or .pt2 file")
    if not path.exists():
        raise ModelError(f"{path}: no such file; pass a .tflite, .onnx or .pt2 file")


def print_json(document: Mapping[str, Any]) -> None:
    """Write one JSON document to standard output."""
    click.echo(json.dumps(document, indent=1))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; numbers are grouped and aligned to the right."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numeric = any(type(row[index]) in (int, float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        # Names come from the model file and may look like the terminal library's markup.
        table.add_row(*(Text(cell(value)) for value in row))
    _console().print(table)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print name and value pairs, one per line; those without a value are left out."""
    known = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, known), default=0)
    for name, value in known.items():
        click.echo(f"{name:<{width}}  {cell(value)}")


def terminal_width() -> int:
    """Characters per line of the terminal, or of a comfortable page when there is none."""
    return _console().width


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def cell(value: Any) -> str:
    """A value as people read it: grouped digits, yes and no, "-" for none."""
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
