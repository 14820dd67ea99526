"""Sums and maxima over all pixels of an image, or of the rows of it that one call of a streamed region takes in.

A call that accumulates (dialect/pixels.py) goes on from what its output holds; any other one starts by filling it.
Channels come in blocks that a micro-kernel adds up in registers where the core has one for it; what is left over, and
all of it elsewhere, is a loop over one channel at a time, unrolled over pixels.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tvm import s_tir
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from . import script
from .code_size import C_LOOP_BYTES
from .kernel import Candidate, Kernel, Problem
from .tensor_ir import largest_divisor

OPERATORS = {"sum_pixels": "pixel sums", "max_pixels": "pixel maxima"}
# Pixels per iteration, and what one element costs then; measured on Cortex-M4.
UNROLLED = 8
_PER_ELEMENT, _PER_CHANNEL = 2.4, 8.0
# Of filling one element of the output.
_FILL = 1.5


def pixels_of(problem: Problem) -> tuple[int, int] | None:
    """Pixels and channels that a call reduces; None when the layer is none of these, or has several images."""
    if problem.operator not in OPERATORS or problem.shapes["data"][0] != 1:
        return None
    _, height, width, channels = problem.shapes["data"]
    return height * width, channels


def schedule_pixels(problem: Problem) -> Candidate | None:
    """Schedule sums and maxima over pixels on any core; None for several images and other operators."""
    extents = pixels_of(problem)
    if extents is None:
        return None
    pixels, channels = extents
    return Candidate(
        rule=OPERATORS[problem.operator],
        instructions=20 + instructions_left(problem, channels),
        build=lambda: Kernel(schedule_rest(pixels_function(problem, 0, pixels)).mod["main"], {}),
        loop_bytes=C_LOOP_BYTES,
    )


def instructions_left(problem: Problem, rest: int) -> float:
    """Of `rest` channels that no micro-kernel handles, and of filling the output before the first pixel."""
    extents = pixels_of(problem)
    assert extents is not None
    pixels, channels = extents
    return rest * (pixels * _PER_ELEMENT + _PER_CHANNEL) + _FILL * channels * _starts(problem)


def _starts(problem: Problem) -> bool:
    """Whether a call fills its output before it takes in the first pixel."""
    return not problem.attrs.get("accumulate")


def schedule_rest(function: Any) -> s_tir.Schedule:
    """Unroll the loop over the channels that no micro-kernel handles."""
    sch = s_tir.Schedule(function)
    (rest,) = (block for block in sch.get_child_blocks(sch.get_sblock("root")) if _named(sch, block, "rest"))
    *_, pixel = sch.get_loops(rest)
    _, inner = sch.split(pixel, [None, largest_divisor(int(sch.get(pixel).extent), UNROLLED)])
    sch.unroll(inner)
    return sch


def _named(sch: Any, block: Any, name: str) -> bool:
    return str(sch.get(block).name_hint) == name


def pixels_function(problem: Problem, blocked: int, run: int) -> Any:
    """TensorIR of a layer whose first `blocked` channels are one block "tile" per run of `run` pixels.

    data int8[pixels, channels], output [channels] of sums, int32, or maxima, int8.
    """
    extents = pixels_of(problem)
    assert extents is not None
    pixels, channels = extents
    largest = problem.operator == "max_pixels"
    kind = "int8" if largest else "int32"
    start = problem.attrs["clamp_min"] if largest else 0
    most = problem.attrs["clamp_max"] if largest else 127
    rest = channels - blocked
    # The parser decides on booleans and leaves everything else to the code.
    fills, has_tiles, has_rest = _starts(problem), blocked > 0, rest > 0

    @T.prim_func(s_tir=True)
    def main(data_handle: T.handle, output_handle: T.handle) -> None:
        data = T.match_buffer(data_handle, (pixels, channels), "int8")
        output = T.match_buffer(output_handle, (channels,), kind)
        if fills:
            for c in T.serial(channels):
                with T.sblock("fill"):
                    vc = T.axis.spatial(channels, c)
                    output[vc] = T.Cast(kind, start)
        if has_tiles:
            for p in T.serial(pixels // run):
                with T.sblock("tile"):
                    vp = T.axis.spatial(pixels // run, p)
                    sum_stage(data, output, (run, blocked), vp * run)
        if has_rest:
            for c, p in T.grid(rest, pixels):
                with T.sblock("rest"):
                    vc, vp = T.axis.remap("SR", [c, p])
                    T.reads(output[blocked + vc], data[vp, blocked + vc])
                    T.writes(output[blocked + vc])
                    if largest:
                        # TVM's C printer would load the operands of max once for all unrolled pixels.
                        output[blocked + vc] = T.Select(
                            data[vp, blocked + vc] > output[blocked + vc],
                            T.min(data[vp, blocked + vc], T.Cast("int8", most)),
                            output[blocked + vc],
                        )
                    else:
                        output[blocked + vc] = output[blocked + vc] + T.Cast("int32", data[vp, blocked + vc])

    return main


@T.macro
def sum_stage(data: Any, output: Any, extents: Any, first: Any) -> None:
    """output[c] += data[first, c] + data[first + 1, c] + ...; extents: pixels and channels."""
    T.reads(output[0 : extents[1]], data[first : first + extents[0], 0 : extents[1]])
    T.writes(output[0 : extents[1]])
    for c, p in T.grid(extents[1], extents[0]):
        with T.sblock("add"):
            vc, vp = T.axis.remap("SR", [c, p])
            output[vc] = output[vc] + T.Cast("int32", data[first + vp, vc])


@cache
def register_sums(function: str, extents: tuple[int, int, int], arguments: tuple[int, ...]) -> str:
    """Register a call (data, sums, *arguments) of a C function for block "tile"; return the intrinsic's name.

    extents: pixels of a block, channels of the image, and those of them that are summed.
    """
    pixels, channels, blocked = extents

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
                            "int32", function, data.access_ptr("r"), output.access_ptr("rw"), *arguments
                        )
                    )

        return sums

    name = f"{function}_of_{pixels}x{blocked}_every{channels}"
    TensorIntrin.register(name, make(True), make(False), override=True)
    return name
