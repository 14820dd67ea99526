"""Patch plans of published models against what was asked of them: docs/results/patches.csv and patches.md.

Every line of docs/results/patch_targets.csv names a model, whether its input is held (`held`, `kept`, `rows`), the most
bytes that the tensors may take, and the most work as a multiple of the plain model's. The plan is the one that
`-ram=` would take within those bytes, or the smallest within that work where there is none. It is built, run on the
emulated board and compared with LiteRT's reference kernels. With the models in a folder:

    .venv/bin/python tools/patch_results.py FOLDER tinyml/cortex-m55 [MODEL ...]

writes the lines of the models that are named, or of all, and leaves the others as they are. `mobilenet_v2_0.35_144` is
written by `tests/support/mobilenet.py`. The build without a plan is that of `-without=PatchInference`.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np

from tvm_tinyml import relay
from tvm_tinyml.cli.common import Model, import_model
from tvm_tinyml.cli.tensors import random_inputs
from tvm_tinyml.patch.choice import PatchFront
from tvm_tinyml.patch.footprint import PlanFigures
from tvm_tinyml.pipeline import patch_front
from tvm_tinyml.reference import LITERT, reference_outputs
from tvm_tinyml.target import TargetConfig, parse_target
from tvm_tinyml.target.config import InputMode

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
KEYS = ("target", "model", "input", "bytes", "work")
FIGURES = (
    "arena",
    "factor",
    "built",
    "scratch",
    "stack",
    "instructions",
    "plain_instructions",
    "tensors",
    "exact",
)
# Instructions over those of the unpatched build may exceed the work by this.
MOST_EXTRA = 0.1
INTRODUCTION = """# Patch plans

Written by `tools/patch_results.py` from `patch_targets.csv`, with random inputs. A plan was asked to keep its tensors
within so many bytes at so much work: multiply-accumulates over those of the plain model, rows and columns that are
computed outside of the image included. Found is what the search says; built is the arena of the compiled model
without the scratch of its kernels, which comes on top. Executed instructions are compared with the build without
a plan, and should exceed them by no more than the work does and a tenth: the work that the plan does (`ok`), or that it
was allowed to do (`allowed`). Exact are outputs that equal those of LiteRT's reference kernels, with so many tensors,
all that exist under the plan, that equal those of the plain model.

Input: `held` in memory until it has been read, `kept` in memory to the end, or fetched by `rows`.
"""
COLUMNS = {
    **dict.fromkeys(("model", "input"), "---"),
    **dict.fromkeys(("bytes", "work", "found", "at"), "---:"),
    "ok ": "---",
    **dict.fromkeys(("built", "scratch", "stack", "executed", "ratio"), "---:"),
    **dict.fromkeys(("ok", "allowed"), "---"),
    "tensors": "---:",
    "exact": "---",
}
"""Columns of the tables and how each is aligned."""
HEADER = f"\n## {{target}}\n\n| {' | '.join(map(str.strip, COLUMNS))} |\n| {' | '.join(COLUMNS.values())} |\n"


def main(folder: Path, target: str, names: Sequence[str]) -> None:
    """Measure the models named, or all of them, and write both files; lines of other targets stay."""
    config = parse_target(target)
    asked = [{"target": str(config), **row} for row in _read(RESULTS / "patch_targets.csv")]
    known = {_key(row): row for row in _read(RESULTS / "patches.csv")}
    order = [*(key for key in known if key[0] != str(config)), *map(_key, asked)]
    for name in dict.fromkeys(row["model"] for row in asked):
        if not names or name in names:
            lines = [row for row in asked if row["model"] == name]
            for row in measured(folder / f"{name}.tflite", config, lines):
                known[_key(row)] = row
                _write([known[key] for key in order if key in known])


@dataclass(frozen=True)
class Expected:
    """Outputs of LiteRT's reference kernels for `inputs`, and every tensor of the build without a plan."""

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    tensors: Mapping[str, Any]


def measured(
    path: Path, config: TargetConfig, asked: Sequence[Mapping[str, str]]
) -> Iterable[dict[str, str]]:
    """What was asked of one model with what was found; one search per way to hold the input."""
    model = import_model(path)
    inputs = random_inputs(model.signature["inputs"], seed=0)
    source, outputs = reference_outputs(model.module, path, inputs, "litert")
    if source != LITERT:
        raise SystemExit("the outputs are compared with LiteRT: install the extra `oracle`")
    plain = relay.build(model.module, target=parse_target(f"{config} -without=PatchInference"))
    expected = Expected(inputs, outputs, plain.tensors(inputs))
    instructions = plain.run(inputs).report.instructions
    for mode in dict.fromkeys(row["input"] for row in asked):
        own = replace(config, input=cast(InputMode, mode))
        front = patch_front(model.module, own)
        for row in (row for row in asked if row["input"] == mode):
            found = chosen(front, int(row["bytes"]), float(row["work"]))
            figures = executed(model, own, found, expected) | {"plain_instructions": instructions}
            yield dict(row) | {key: str(value) for key, value in figures.items()}


def chosen(front: PatchFront, nbytes: int, work: float) -> PlanFigures:
    """The plan with the least estimated cost within `nbytes` and `work`; else the smallest within `work`."""
    if any(one.arena_bytes <= nbytes and one.factor <= work for one in front.plans):
        return front.within(nbytes, work)
    return front.smallest(work)


def executed(model: Model, config: TargetConfig, found: PlanFigures, expected: Expected) -> dict[str, Any]:
    """Figures of a plan that was built and run."""
    built = relay.build(model.module, target=config, patch=found.plan)
    outputs, report = built.run(expected.inputs)
    memory = built.metadata["memory"]
    tensors = {
        name: value for name, value in built.tensors(expected.inputs).items() if name in expected.tensors
    }
    equal = [
        *(np.array_equal(one, other) for one, other in zip(outputs, expected.outputs, strict=True)),
        *(np.array_equal(value, expected.tensors[name]) for name, value in tensors.items()),
    ]
    return {
        "arena": found.arena_bytes,
        "factor": f"{found.factor:.4f}",
        "built": memory["without_scratch_bytes"],
        "scratch": memory["scratch_bytes"],
        "stack": report.stack_bytes,
        "instructions": report.instructions,
        "tensors": len(tensors),
        "exact": all(equal),
    }


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[key] for key in KEYS)


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(rows: Sequence[Mapping[str, str]]) -> None:
    with (RESULTS / "patches.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*KEYS, *FIGURES], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    text = INTRODUCTION
    for target, lines in groupby(rows, key=lambda row: row["target"]):
        text += HEADER.format(target=target) + "".join(map(_line, lines))
    (RESULTS / "patches.md").write_text(text)


def _line(row: Mapping[str, str]) -> str:
    factor = float(row["factor"])
    ratio = int(row["instructions"]) / int(row["plain_instructions"])
    cells = [
        row["model"],
        row["input"],
        f"{int(row['bytes']):,}",
        row["work"],
        f"{int(row['arena']):,}",
        row["factor"],
        _answer(int(row["built"]) <= int(row["bytes"]) and factor <= float(row["work"])),
        *(f"{int(row[key]):,}" for key in ("built", "scratch", "stack", "instructions")),
        f"{ratio:.3f}",
        _answer(ratio <= factor + MOST_EXTRA),
        _answer(ratio <= float(row["work"]) + MOST_EXTRA),
        row["tensors"],
        _answer(row["exact"] == "True"),
    ]
    return f"| {' | '.join(cells)} |\n"


def _answer(holds: bool) -> str:
    return "yes" if holds else "no"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
