"""Bands of padded input rows on Arm MVE: geometry, TensorIR and binding, shared by the schedules of conv2d."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script import tirx as T  # noqa: N812

from . import script
from .copy_mve import (
    copy_rows_stage,
    copy_stage,
    fill_rows_stage,
    fill_stage,
    register_copy,
    register_copy_rows,
    register_fill,
    register_fill_rows,
)
from .intrinsics.mve.copy import (
    COPY,
    COPY_SHORT,
    FILL,
    SHORT,
    copy_instructions,
    copy_short_instructions,
    fill_instructions,
)
from .intrinsics.mve.strip import VECTOR
from .kernel import MicroKernel, Problem
from .tensor_ir import blocks


@dataclass(frozen=True)
class Band:
    """Padded input rows of one output row, or of several.

    rows: how many. left, inner, pitch: bytes of border, of data, of a row. value: of the padding.
    height: rows of the input. step, last: input rows from one band to the next, and of the last one. above: rows of
    padding above the input. spread: input rows between two rows of a band.
    """

    rows: int
    left: int
    inner: int
    pitch: int
    value: int
    height: int
    step: int
    last: int
    above: int
    spread: int

    def input_row(self, band: Any, row: Any) -> Any:
        """Input row of a band's row; outside of the image for padding."""
        return T.min(band * self.step, self.last) + row * self.spread - self.above

    def inside(self, band: Any, row: Any) -> Any:
        """Whether a band's row lies in the image."""
        return T.And(self.input_row(band, row) >= 0, self.input_row(band, row) < self.height)

    @property
    def nbytes(self) -> int:
        """Scratch of the band."""
        return self.rows * self.pitch

    @property
    def at_once(self) -> bool:
        """Whether one call brings all rows: short ones, none of which is outside of the image."""
        lowest = self.last + (self.rows - 1) * self.spread
        return self.inner <= SHORT and self.above == 0 and lowest < self.height

    def instructions(self, bands: int) -> float:
        """Instructions of filling all bands."""
        rows = (
            copy_short_instructions(self.rows) if self.at_once else self.rows * copy_instructions(self.inner)
        )
        return bands * rows + fill_instructions(self.nbytes)

    @property
    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """What fills it."""
        return FILL, COPY_SHORT if self.at_once else COPY


def band_of(problem: Problem, outputs: int) -> Band:
    """Geometry of the bands of a convolution with `outputs` output rows each, the last one overlapping.

    Rows are aligned to words and long enough for whole vectors. A band of one output row holds the kernel's rows only.
    """
    _, kernel_h, kernel_w, _ = problem.shapes["weight"]
    _, input_height, input_width, depth = problem.shapes["data"]
    _, height, width, _ = problem.output_shape
    (stride_h, stride_w), (dilation_h, dilation_w) = problem.attrs["strides"], problem.attrs["dilation"]
    top, left, *_ = problem.attrs["padding"]
    reach, window = (width - 1) * stride_w, (kernel_w - 1) * dilation_w + 1
    pitch = max((left + input_width) * depth, reach * depth + -(-window * depth // VECTOR) * VECTOR)
    return Band(
        rows=kernel_h if outputs == 1 else (outputs - 1) * stride_h + (kernel_h - 1) * dilation_h + 1,
        left=left * depth,
        inner=input_width * depth,
        pitch=-(-pitch // 4) * 4,
        value=problem.attrs["input_zero_point"],
        height=input_height,
        step=outputs * stride_h,
        last=(height - outputs) * stride_h,
        above=top,
        spread=dilation_h if outputs == 1 else 1,
    )


@script.macro
def border_stage(rows: Any, band: Any) -> None:
    """Fill all of a band with the padding value."""
    for _ in range(1):
        with T.sblock("borders"):
            fill_rows_stage(rows, band.rows, band.pitch, band.value)


@script.macro
def band_stages(data: Any, rows: Any, band: Any, bands: Any, number: Any) -> None:
    """Bring the input rows of one of `bands` bands into it."""
    if band.at_once:
        for _ in range(1):
            with T.sblock("copies"):
                vb = T.axis.spatial(bands, number)
                copy_rows_stage(
                    rows, data, (band.left, band.input_row(vb, 0)), band.rows, band.inner, band.spread
                )
    else:
        for r in range(band.rows):
            if band.inside(number, r):
                with T.sblock("copy"):
                    vr = T.axis.spatial(band.rows, r)
                    vb = T.axis.spatial(bands, number)
                    copy_stage(rows, data, (vr, band.left, band.input_row(vb, vr), 0), band.inner)
            else:
                with T.sblock("fill"):
                    vr = T.axis.spatial(band.rows, r)
                    fill_stage(rows, (vr, band.left), band.inner, band.value)


def tensorize_band(sch: Any, band: Band) -> None:
    """Bind the micro-kernels of the band's blocks."""
    intrinsics = {
        "borders": register_fill_rows(band.rows, band.pitch, band.value),
        "copy": register_copy(band.inner),
        "fill": register_fill(band.inner, band.value),
    }
    if band.at_once:
        intrinsics["copies"] = register_copy_rows(band.rows, band.inner, band.spread)
    for block in blocks(sch):
        # Blocks below a condition get a number behind their names.
        name = str(sch.get(block).name_hint).split("_")[0]
        if name in intrinsics:
            sch.tensorize(block, intrinsics[name])
