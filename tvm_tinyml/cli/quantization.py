"""`--quantize`: a float model becomes an int8 one while it is read, and what every layer loses is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_tinyml.errors import RunError, UnsupportedError

from .common import print_table

if TYPE_CHECKING:
    from tvm_tinyml.frontend.qdq import Network
    from tvm_tinyml.quantization import LayerLoss


def quantized_network(path: Path, samples: Path, trust: bool) -> tuple[Network, tuple[LayerLoss, ...]]:
    """The network of a float model file after quantisation with the samples of a .npz file, and the losses.

    Raises RunError for samples that do not fit, UnsupportedError for a model that cannot be quantised, ModelError for
    one that cannot be read.
    """
    from tvm_tinyml.frontend.files import ONNX, TFLITE, kind_of, require_trust

    from .arrays import read_arrays

    kind = kind_of(path)
    if kind == TFLITE:
        raise UnsupportedError(
            f"{path}: --quantize is for .onnx and .pt2 files; .tflite files are quantised when they are converted."
        )
    arrays = read_arrays(samples)
    try:
        if kind == ONNX:
            from tvm_tinyml.frontend.naming import identifier
            from tvm_tinyml.frontend.onnx.reader import read_network
            from tvm_tinyml.quantization import quantize_onnx

            proto, losses = quantize_onnx(path, arrays)
            return read_network(proto, identifier(path.stem)), losses
        require_trust(path, trust)
        return _quantized_archive(path, arrays)
    except RunError as error:
        raise RunError(f"{samples}: {error}") from None


def _quantized_archive(path: Path, arrays: Any) -> tuple[Network, tuple[LayerLoss, ...]]:
    from tvm_tinyml.frontend.naming import identifier
    from tvm_tinyml.frontend.pytorch.archive import load_program

    program = load_program(path)
    from tvm_tinyml.frontend.pytorch.reader import read_network
    from tvm_tinyml.torch import quantize

    quantized = quantize(program, arrays)
    return read_network(quantized.program, identifier(path.stem), str(path)), quantized.losses


def losses_document(losses: Sequence[LayerLoss]) -> list[dict[str, Any]]:
    """Losses as plain data; a layer that lost nothing has no ratio."""
    return [
        {
            "layer": loss.name,
            "operator": loss.operator,
            "sqnr_db": round(loss.sqnr_db, 2) if math.isfinite(loss.sqnr_db) else None,
        }
        for loss in losses
    ]


def print_losses(losses: Sequence[LayerLoss]) -> None:
    """Print the table and the worst layers; nothing for a model that was quantised before."""
    if not losses:
        return
    from tvm_tinyml.quantization import worst_layers

    rows = [(loss.name, loss.operator, _decibels(loss)) for loss in losses]
    print_table("Signal to quantisation noise", ("layer", "operator", "dB"), rows)
    named = ", ".join(f"{loss.name} ({_decibels(loss)} dB)" for loss in worst_layers(losses))
    click.echo(f"lowest: {named}\n")


def _decibels(loss: LayerLoss) -> str:
    return "exact" if loss.sqnr_db == math.inf else f"{loss.sqnr_db:.1f}"
