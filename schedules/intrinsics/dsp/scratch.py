"""Room for int16 operands in scratch, and a channel pair's weights in it, in the order that the matrix tile reads."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import MicroKernel
from .assembly import Intrinsic, naked_function

# Scratch of so many int16 does not go to the stack, where arrays of int16 need not be aligned to words.
MIN_SCRATCH = 40
# Groups of a pixel are a multiple of so many for the scaled form of `direct.py`.
SCALED_GROUPS = 2
# What becomes of four words with four values each: r4 and r5 hold the values of the first, and so on.
_EXTEND = [
    line
    for low in (4, 6, 8, 10)
    for line in (f"sxtb16 r{low}, r{low + 1}", f"sxtb16 r{low + 1}, r{low + 1}, ror #8")
]


def expand_instructions(groups: int) -> float:
    """Instructions of one call of the generated function, with the caller's."""
    return 16 + groups * 5.6


def weight_groups(groups: int) -> int:
    """Groups that scratch for expanded weights has room for."""
    return max(groups, MIN_SCRATCH // 8)


def pixel_pairs(pixels: int, groups: int) -> int:
    """Pairs that scratch for packed pixels has room for."""
    return max((pixels + 1) // 2, -(-MIN_SCRATCH // (8 * groups)))


@script.macro
def expand_stage(weights: Any, expanded: Any, pair: Any, groups: Any) -> None:
    """The weights of a channel pair, int8[pairs, groups, 2, 4], as int16[groups, 2, 4]."""
    T.reads(weights[pair, 0:groups, 0:2, 0:4])
    T.writes(expanded[0 : weight_groups(groups), 0:2, 0:4])
    for k, c, i, j in T.grid(groups, 2, 2, 2):
        with T.sblock("expand_group"):
            vk, vc, vi, vj = T.axis.remap("SSSS", [k, c, i, j])
            expanded[vk, vc, vi * 2 + vj] = T.Cast("int16", weights[pair, vk, vc, vj * 2 + vi])


def expand_weights(groups: int) -> Intrinsic:
    """Weights of a channel pair as int16; see `expand_stage`."""
    micro_kernel = _expand_function()
    function, room = micro_kernel.name, weight_groups(groups)

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(source: T.handle, target: T.handle) -> None:
            weights = T.match_buffer(source, (1, groups, 2, 4), "int8", offset_factor=1)
            expanded = T.match_buffer(target, (room, 2, 4), "int16", offset_factor=1)
            with T.sblock("root"):
                expand_stage(weights, expanded, 0, groups)

        @script.prim_func(s_tir=True)
        def implementation(source: T.handle, target: T.handle) -> None:
            weights = T.match_buffer(source, (1, groups, 2, 4), "int8", offset_factor=1)
            expanded = T.match_buffer(target, (room, 2, 4), "int16", offset_factor=1)
            with T.sblock("root"):
                T.reads(weights[0, 0:groups, 0:2, 0:4])
                T.writes(expanded[0:room, 0:2, 0:4])
                T.evaluate(
                    T.call_extern(
                        "int32", function, weights.access_ptr("r"), expanded.access_ptr("w"), groups
                    )
                )

        return description, implementation

    return Intrinsic(f"{function}_{groups}", micro_kernel, build)


def _expand_function() -> MicroKernel:
    step = ["ldmia r0!, {r5, r7, r9, r11}", *_EXTEND, "stmia r1!, {r4-r11}"]
    lines = [
        "push {r4-r11, lr}",
        "lsrs r2, r2, #1",
        "bcc 1f",
        "ldr r5, [r0], #4",
        "ldr r7, [r0], #4",
        *_EXTEND[:4],
        "stmia r1!, {r4-r7}",
        "1:",
        "lsrs r2, r2, #1",
        "bcc 2f",
        *step,
        "2:",
        "cbz r2, 4f",
        "3:",
        *step,
        *step,
        "subs r2, #1",
        "bne 3b",
        "4:",
        "pop {r4-r11, pc}",
    ]
    parameters = "const int8_t *weights, int16_t *expanded, int32_t groups"
    return naked_function("tinyml_dsp_expand", parameters, lines)
