"""`tvm-tinyml evaluate`: a whole test set on an emulated board, and how the answers compare with the labels."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress

from .common import (
    Model,
    build,
    edges_option,
    import_model,
    import_tvm,
    json_option,
    model_argument,
    opt_option,
    point_option,
    print_facts,
    print_json,
    print_table,
    progress,
    quantize_option,
    target_config,
    target_option,
    trust_option,
)
from .quantization import losses_document, print_losses

if TYPE_CHECKING:
    from tvm_tinyml.module import AOTModule

    from .dataset import Dataset
    from .tensors import Array

BATCH = 120
"""Inferences per build and boot of an emulated board, between two steps of the progress."""


@click.command("evaluate")
@model_argument
@target_option
@opt_option
@point_option
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="A .npz file: images [count, ...] as the model takes them, or real numbers, and labels [count].",
)
@click.option("--limit", type=click.IntRange(min=1), help="Take no more than the first N images.")
@click.option("--board", help='Board to run on, or "host"; the target\'s own when not given.')
@trust_option
@quantize_option
@edges_option
@json_option
def evaluate_command(
    model: Path,
    target: str,
    opt: str | None,
    point: int | None,
    data: Path,
    limit: int | None,
    board: str | None,
    trust: bool,
    samples: Path | None,
    int8_edges: bool,
    as_json: bool,
) -> None:
    """Run MODEL over a test set: accuracy, confusion matrix, agreement with the reference.

    The model has one input and gives one score per class. Exit code 1 when an output differs from the reference.
    """
    import_tvm()
    from tvm_tinyml.module import config_for_board, runner_of

    from .dataset import read_dataset

    config = config_for_board(target_config(target, opt), board)
    runner_of(config)
    imported = import_model(model, trust=trust, samples=samples, int8_edges=int8_edges)
    dataset = read_dataset(data, imported.signature["inputs"], limit)
    built = build(imported, config, False, point)
    scores, instructions = _scores(built, dataset.images)
    with progress("Computing the reference"):
        reference, expected = _reference(imported, config.rounding, dataset.images)
    document = {
        "model": imported.signature["name"],
        "target": str(config),
        "board": config.board.name if config.board is not None else config.core.name,
        "images": len(dataset.images),
        "instructions": instructions,
        **_figures(dataset, scores, expected),
        "reference": reference,
        "quantization": losses_document(imported.losses),
    }
    if as_json:
        print_json(document)
    else:
        print_losses(imported.losses)
        _print(document)
    if document["equal_outputs"] != len(dataset.images):
        sys.exit(1)


def _scores(built: AOTModule, images: Array) -> tuple[Array, int | None]:
    """Scores of all images, [count, classes], and the instructions of one inference where they are counted."""
    import numpy as np

    found: list[Array] = []
    instructions = None
    with _steps(len(images)) as advance:
        # Counting slows the emulator down, and one inference is like the other.
        firsts = [0, *range(1, len(images), BATCH)]
        for first, end in zip(firsts, [*firsts[1:], len(images)], strict=True):
            report = built.run_many([image[np.newaxis] for image in images[first:end]], profile=first == 0)
            found += [outputs[0].reshape(-1) for outputs in report.outputs]
            instructions = report.instructions if first == 0 else instructions
            advance(len(report.outputs))
    return np.stack(found), instructions


@contextmanager
def _steps(total: int) -> Iterator[Any]:
    """Shows to a person how far it is; called with the number of images done."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as shown:
        task = shown.add_task("Running", total=total)
        yield lambda count: shown.advance(task, count)


def _reference(model: Model, rounding: str, images: Array) -> tuple[str, Array]:
    """Name of the reference, and its scores of all images."""
    import numpy as np

    from tvm_tinyml.reference import reference_outputs

    name, found = "", []
    for image in images:
        name, outputs = reference_outputs(model.module, model.tflite_file, [image[np.newaxis]], rounding)
        found.append(outputs[0].reshape(-1))
    return name, np.stack(found)


def _figures(dataset: Dataset, scores: Array, expected: Array) -> dict[str, Any]:
    import numpy as np

    answers, classes = scores.argmax(axis=1), scores.shape[1]
    figures: dict[str, Any] = {
        "equal_outputs": int((scores == expected).all(axis=1).sum()),
        "agreement": float((answers == expected.argmax(axis=1)).mean()),
        "accuracy": None,
        "confusion": None,
    }
    if dataset.labels is not None:
        counted = np.zeros((max(classes, int(dataset.labels.max()) + 1), classes), np.int64)
        np.add.at(counted, (dataset.labels, answers), 1)
        figures["accuracy"] = float((answers == dataset.labels).mean())
        figures["confusion"] = counted.tolist()
    return figures


def _print(document: dict[str, Any]) -> None:
    confusion: Sequence[Sequence[int]] | None = document["confusion"]
    if confusion is not None:
        columns = ["label", *(str(one) for one in range(len(confusion[0])))]
        print_table("Answers", columns, [[str(label), *row] for label, row in enumerate(confusion)])
    count, equal = document["images"], document["equal_outputs"]
    print_facts(
        {
            "target": document["target"],
            "board": document["board"],
            "images": count,
            "instructions": document["instructions"],
            "accuracy": None if document["accuracy"] is None else f"{document['accuracy']:.2%}",
            "same answer as the reference": f"{document['agreement']:.2%} ({document['reference']})",
            "same outputs, bit by bit": f"{equal:,} of {count:,}",
        }
    )
