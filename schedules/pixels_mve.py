"""Sums over pixels on Arm MVE: blocks of sixteen channels, the rest one by one."""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm.s_tir import Schedule, TensorIntrin
from tvm.script import tirx as T  # noqa: N812

from . import script
from .intrinsics.mve.assembly import PRELUDE
from .intrinsics.mve.pixels import CHANNELS, SUM_PIXELS, sum_instructions
from .kernel import Candidate, Kernel, Problem
from .pixels import FILL, pixels_function, pixels_of, schedule_rest, starts, sum_stage
from .tensorize_mve import tensorizable

# Of one element that is left over, and of its channel.
_PER_ELEMENT, _PER_CHANNEL = 2.4, 8.0


def schedule_pixels_mve(problem: Problem) -> Candidate | None:
    """Schedule sum_pixels of sixteen channels and more; None for everything else."""
    extents = pixels_of(problem)
    if "mve" not in problem.features or problem.operator != "sum_pixels" or extents is None:
        return None
    pixels, channels = extents
    blocks, rest = divmod(channels, CHANNELS)
    if not blocks:
        return None
    left = rest * (pixels * _PER_ELEMENT + _PER_CHANNEL) + FILL * channels * starts(problem)
    return Candidate(
        rule="mve pixel sums",
        instructions=sum_instructions(pixels, blocks) + left,
        build=lambda: _build(problem, pixels, channels),
        micro_kernels=lambda: (PRELUDE, SUM_PIXELS),
    )


def _build(problem: Problem, pixels: int, channels: int) -> Kernel:
    blocked = channels // CHANNELS * CHANNELS
    function = tensorizable(pixels_function(problem, blocked, pixels)).mod["main"]
    sch = schedule_rest(function) if blocked < channels else Schedule(function)
    sch.tensorize(sch.get_sblock("tile"), _register(pixels, channels, blocked))
    return Kernel(sch.mod["main"], {}, (PRELUDE, SUM_PIXELS))


@cache
def _register(pixels: int, channels: int, blocked: int) -> str:
    def make(computes: bool) -> Any:
        @script.prim_func(s_tir=True)
        def sums(data_handle: T.handle, output_handle: T.handle) -> None:
            data = T.match_buffer(
                data_handle, (pixels, blocked), "int8", offset_factor=1, strides=[T.int32(), 1]
            )
            output = T.match_buffer(output_handle, (blocked,), "int32", offset_factor=1)
            with T.sblock("root"):
                if computes:
                    sum_stage(data, output, (pixels, blocked), 0)
                else:
                    T.reads(output[0:blocked], data[0:pixels, 0:blocked])
                    T.writes(output[0:blocked])
                    T.evaluate(
                        T.call_extern(
                            "int32",
                            SUM_PIXELS.name,
                            data.access_ptr("r"),
                            output.access_ptr("rw"),
                            pixels,
                            channels,
                            blocked // CHANNELS,
                        )
                    )

        return sums

    name = f"{SUM_PIXELS.name}_of_{pixels}x{blocked}_every{channels}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name
