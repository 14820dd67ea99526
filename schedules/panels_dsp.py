"""Arm DSP schedule of pointwise convolutions and of dense layers of several rows: panels of two sizes.

Few numbers of pixels are multiples of those that a panel can have (`intrinsics/dsp/panel.py`), and blocks of one size
(`conv2d_dsp.py`) compute what is missing twice. That counts where there are few pixels, as in a call of a streamed
region: nine of them are a panel of five and one of four.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from . import script
from .conv2d_dsp import (
    MAX_PANEL_BYTES,
    PLAIN_PANEL,
    SCALED_PANEL,
    Geometry,
    applies,
    blocks_of,
    fits_24_bits,
    geometry_of,
)
from .intrinsics import dsp
from .kernel import Candidate, Kernel, MicroKernel, Problem
from .pareto import undominated

# Of the loop around a panel and of what passes its arguments.
INSTRUCTIONS_PER_PANEL = 20.0


@dataclass(frozen=True)
class _Panels:
    """`count` panels side by side, from pixel `first` on."""

    first: int
    count: int
    windows: dsp.Windows

    def pixel(self, panel: Any) -> Any:
        """First pixel of one of them."""
        return self.first + panel * self.windows.pixels

    @property
    def scratch(self) -> int:
        """Bytes of one panel."""
        return 8 * self.windows.pixels * self.windows.groups

    def instructions(self, channels: int) -> float:
        """Estimate without the epilogues' own."""
        windows = self.windows
        product = dsp.panel_instructions(
            windows.pixels, windows.groups, channels, windows.scaled, windows.compact
        )
        return self.count * (INSTRUCTIONS_PER_PANEL + dsp.window_instructions(windows) + product)


@dataclass(frozen=True)
class _Layer:
    """All pixels of a layer, in panels of two sizes."""

    depth: int
    pixels: int
    channels: int
    panels: tuple[_Panels, _Panels]

    @property
    def scaled(self) -> bool:
        return self.panels[0].windows.scaled

    @property
    def instructions(self) -> float:
        """Estimate without the epilogues' own."""
        return sum(one.instructions(self.channels) for one in self.panels)

    @property
    def scratch(self) -> int:
        """Bytes: one panel at a time."""
        return max(one.scratch for one in self.panels)

    def intrinsics(self, epilogue: dsp.Epilogue) -> dict[str, dsp.Intrinsic]:
        """What each block of the function is bound to."""
        found: dict[str, dsp.Intrinsic] = {}
        for suffix, one in zip(("", "_small"), self.panels, strict=True):
            windows = one.windows
            product = dsp.panel_strip(
                windows.pixels, windows.groups, self.channels, epilogue, windows.scaled, windows.compact
            )
            found |= {f"pack{suffix}": dsp.pack_windows(windows, "global"), f"product{suffix}": product}
        return found


def schedule_panels_dsp(problem: Problem) -> list[Candidate]:
    """Schedule pixels that lie one behind the other in panels of two sizes; nothing where one size is as good."""
    if problem.operator not in ("conv2d", "dense") or "dsp" not in problem.features:
        return []
    geometry = geometry_of(problem) if "weight" in problem.constants else None
    if geometry is None or (geometry.padded, geometry.kernel, geometry.output[0]) != (False, (1, 1), 1):
        return []
    products = [PLAIN_PANEL, *([SCALED_PANEL] if fits_24_bits(problem) else [])]
    layers = [layer for product in products for layer in _layers(geometry, problem.output_shape[-1], product)]
    common = dsp.epilogue_of(problem, 0) if layers else None
    if common is None:
        return []
    best = undominated(layers, lambda layer: (layer.instructions, layer.scratch))
    return [found for layer in best if (found := _candidate(problem, layer, common)) is not None]


def _layers(geometry: Geometry, channels: int, product: str) -> Iterator[_Layer]:
    """Ways to divide the pixels into panels of two sizes, with as few as possible of the smaller one."""
    pixels, depth = geometry.output[1], geometry.image[2]
    for larger, smaller in combinations(dsp.panel_sizes(product == SCALED_PANEL), 2):
        few = next((few for few in range(1, larger + 1) if (pixels - few * smaller) % larger == 0), 0)
        many = (pixels - few * smaller) // larger
        if few == 0 or many < 1:
            continue
        panels = (
            _Panels(0, many, blocks_of(geometry, 1, larger, product).windows),
            _Panels(many * larger, few, blocks_of(geometry, 1, smaller, product).windows),
        )
        layer = _Layer(depth, pixels, channels, panels)
        fits = all(one.windows.by_words and applies(product, one.windows) for one in panels)
        if fits and layer.scratch <= MAX_PANEL_BYTES:
            yield layer


def _candidate(problem: Problem, layer: _Layer, common: dsp.Epilogue) -> Candidate | None:
    """None when a bias becomes too large for the table."""
    weights = dsp.window_weights(problem.constants["weight"], layer.panels[0].windows)
    epilogue = dsp.panel_bias(common, weights if layer.scaled else None)
    if epilogue is None:
        return None

    def micro_kernels() -> tuple[MicroKernel, ...]:
        return tuple(one.micro_kernel for one in layer.intrinsics(epilogue).values())

    def build() -> Kernel:
        sch = dsp.schedule(_function(layer, epilogue))
        for block, intrinsic in layer.intrinsics(epilogue).items():
            sch.tensorize(sch.get_sblock(block), intrinsic.register())
        ordered = weights.reshape(layer.channels, -1, 4)
        return Kernel(
            function=sch.mod["main"],
            constants={
                "weights": dsp.pack_scaled(ordered) if layer.scaled else ordered,
                "table": epilogue.rows,
            },
            micro_kernels=micro_kernels(),
        )

    return Candidate(
        rule="dsp scaled panels" if layer.scaled else "dsp plain panels",
        instructions=layer.instructions + problem.outputs * epilogue.instructions,
        build=build,
        micro_kernels=micro_kernels,
        scratch=layer.scratch,
    )


def _function(layer: _Layer, epilogue: dsp.Epilogue) -> Any:
    large, small = layer.panels
    depth, pixels, channels, groups = layer.depth, layer.pixels, layer.channels, large.windows.groups
    form, small_form = ((one.windows.pixels, groups, channels, layer.scaled) for one in layer.panels)

    @script.prim_func(s_tir=True)
    def main(d: T.handle, w: T.handle, r: T.handle, o: T.handle) -> None:
        data = T.match_buffer(d, (1, pixels * depth), "int8")
        weights = T.match_buffer(w, (channels, groups, 4), "int8")
        table = T.match_buffer(r, (channels, 2), "int32")
        output = T.match_buffer(o, (pixels, channels), "int8")
        packed = T.sblock_alloc_buffer(large.windows.room, "int16")
        packed_small = T.sblock_alloc_buffer(small.windows.room, "int16")
        sums = T.sblock_alloc_buffer((large.windows.pixels, channels), "int32")
        sums_small = T.sblock_alloc_buffer((small.windows.pixels, channels), "int32")
        for b in T.serial(large.count):
            with T.sblock("pack"):
                vb = T.axis.spatial(large.count, b)
                dsp.window_stages(data, packed, large.windows, 0, large.pixel(vb) * depth)
            with T.sblock("product"):
                vb = T.axis.spatial(large.count, b)
                dsp.panel_stages(packed, weights, table, sums, output, form, large.pixel(vb), epilogue)
        for b in T.serial(small.count):
            with T.sblock("pack_small"):
                vb = T.axis.spatial(small.count, b)
                dsp.window_stages(data, packed_small, small.windows, 0, small.pixel(vb) * depth)
            with T.sblock("product_small"):
                vb = T.axis.spatial(small.count, b)
                dsp.panel_stages(
                    packed_small, weights, table, sums_small, output, small_form, small.pixel(vb), epilogue
                )

    return main
