"""The C interface of inputs that are fetched on demand, and what a model asks for in one inference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from tvm_tinyml.patch.geometry import COLUMNS, ROWS
from tvm_tinyml.patch.pulling import Request
from tvm_tinyml.patch.region import pixel_bytes

from .constants import c_type
from .model import LoweredModel, TensorInfo
from .streaming import pull_type


@dataclass(frozen=True)
class Demand:
    """What one inference asks for of one input.

    requests: in order. nbytes: of all of them together.
    fetches: how often each row is asked for, from the top: pairs of a number of rows and how often.
    """

    requests: Sequence[Request]
    nbytes: int
    fetches: Sequence[tuple[int, int]]

    @property
    def most(self) -> int:
        """Requests of the row that is asked for most often."""
        return max(times for _, times in self.fetches)


def demand(model: LoweredModel, info: TensorInfo) -> Demand:
    """What the regions of a model ask for of an input."""
    asked = [one for region in model.regions for one in region.shape.requests if one.tensor == info.name]
    times = Counter(row for one in asked for row in range(one.row, one.row + one.rows))
    per_row = [times[row] for row in range(info.spec.shape[ROWS])]
    return Demand(
        asked,
        sum(one.rows * one.columns for one in asked) * pixel_bytes(info.spec),
        [(len(list(group)), count) for count, group in groupby(per_row)],
    )


def pull_declaration(model: LoweredModel, number: int, info: TensorInfo) -> str:
    """Sizes of a fetched input, and the type of the function that supplies it."""
    prefix = f"#define {model.name.upper()}_INPUT_{number}"
    found, shape = demand(model, info), info.spec.shape
    rows = all(one.columns == shape[COLUMNS] for one in found.requests)
    what = "whole rows" if rows else "rectangles"
    return (
        f"{prefix}_ROWS {shape[ROWS]}\n{prefix}_COLUMNS {shape[COLUMNS]}\n{prefix}_CHANNELS {shape[-1]}\n"
        f"{prefix}_REQUESTS {len(found.requests)}\n{prefix}_REQUESTED_BYTES {found.nbytes}\n"
        f"{prefix}_FETCHES_PER_ROW {found.most}\n\n"
        f"/* Supplies input {number}, which is asked for in {what}: write pixels `column` to `column + columns - 1`\n"
        " * of rows `row` to `row + rows - 1` to `destination`, all channels of a pixel one after the other, each row\n"
        " * `pitch` bytes after the one before. Called while the model runs, on its stack; within one pass over the\n"
        " * image the rows come from the top. Returns 0; anything else ends the inference with that result. */\n"
        f"typedef int (*{pull_type(model.name, number)})(void *context, int32_t row, int32_t rows, int32_t column,\n"
        f"    int32_t columns, {c_type(info.spec.dtype)} *destination, int32_t pitch);"
    )
