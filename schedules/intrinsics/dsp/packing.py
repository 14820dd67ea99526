"""Copies of int8 operands into int16 scratch, in the order that the matrix tile reads."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ...kernel import MicroKernel
from .assembly import Intrinsic, define, naked_function, repeat

# Scratch of so many int16 does not go to the stack, where arrays of int16 need not be aligned to words.
MIN_SCRATCH = 40
# What becomes of four words with four values each: r4 and r5 hold the values of the first, and so on.
_EXTEND = [
    line
    for low in (4, 6, 8, 10)
    for line in (f"sxtb16 r{low}, r{low + 1}", f"sxtb16 r{low + 1}, r{low + 1}, ror #8")
]


def weight_groups(groups: int) -> int:
    """Groups that scratch for expanded weights has room for."""
    return max(groups, MIN_SCRATCH // 8)


def pixel_pairs(pixels: int, groups: int) -> int:
    """Pairs that scratch for packed pixels has room for."""
    return max((pixels + 1) // 2, -(-MIN_SCRATCH // (8 * groups)))


@T.macro
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
    micro_kernel = _expand_function(groups)
    function, room = micro_kernel.name, weight_groups(groups)

    @T.prim_func(s_tir=True)
    def description(source: T.handle, target: T.handle) -> None:
        weights = T.match_buffer(source, (1, groups, 2, 4), "int8", offset_factor=1)
        expanded = T.match_buffer(target, (room, 2, 4), "int16", offset_factor=1)
        with T.sblock("root"):
            expand_stage(weights, expanded, 0, groups)

    @T.prim_func(s_tir=True)
    def implementation(source: T.handle, target: T.handle) -> None:
        weights = T.match_buffer(source, (1, groups, 2, 4), "int8", offset_factor=1)
        expanded = T.match_buffer(target, (room, 2, 4), "int16", offset_factor=1)
        with T.sblock("root"):
            T.reads(weights[0, 0:groups, 0:2, 0:4])
            T.writes(expanded[0:room, 0:2, 0:4])
            T.evaluate(T.call_extern("int32", function, weights.access_ptr("r"), expanded.access_ptr("w")))

    return define(function, description, implementation, micro_kernel)


def _expand_function(groups: int) -> MicroKernel:
    lines = ["push {r4-r11, lr}"]
    if groups % 2:
        lines += ["ldr r5, [r0], #4", "ldr r7, [r0], #4", *_EXTEND[:4], "stmia r1!, {r4-r7}"]
    step = ["ldmia r0!, {r5, r7, r9, r11}", *_EXTEND, "stmia r1!, {r4-r11}"]
    if groups // 2:
        lines += [f"add r2, r0, #{groups // 2 * 16}"]
        lines += repeat(groups // 2, lambda: step, 1, lambda: ["cmp r0, r2"])
    lines += ["pop {r4-r11, pc}"]
    name = f"tinyml_dsp_expand_{groups}"
    return naked_function(name, "const int8_t *weights, int16_t *expanded", lines)


def _widened(data: Any, row: Any, column: Any, depth: int) -> Any:
    value = T.Cast("int16", data[row, column])
    return value if depth % 4 == 0 else T.if_then_else(column < depth, value, T.int16(0))


@T.macro
def pack_stage(data: Any, packed: Any, first: Any, pixels: Any, depth: Any) -> None:
    """Pixels, int8[all pixels, depth], from `first` on as int16[ceil(pixels / 2), ceil(depth / 4), 2, 4].

    Values beyond the depth are zero; the partner of the last of an odd number of pixels is undefined.
    """
    T.reads(data[first : first + pixels, 0:depth])
    T.writes(packed[0 : pixel_pairs(pixels, (depth + 3) // 4), 0 : (depth + 3) // 4, 0:2, 0:4])
    for p, k, i, j in T.grid(pixels, -(-depth // 4), 2, 2):
        with T.sblock("pack_group"):
            vp, vk, vi, vj = T.axis.remap("SSSS", [p, k, i, j])
            packed[vp // 2, vk, vp % 2, vi * 2 + vj] = _widened(data, first + vp, vk * 4 + vj * 2 + vi, depth)


def pack_pixel_pairs(pixels: int, depth: int) -> Intrinsic:
    """Pixels as int16, two of them side by side; see `pack_stage`."""
    groups = -(-depth // 4)
    pairs = pixel_pairs(pixels, groups)
    micro_kernel = _pack_function(depth, pixels % 2)
    function, length = micro_kernel.name, pixels // 2

    @T.prim_func(s_tir=True)
    def description(source: T.handle, target: T.handle) -> None:
        data = T.match_buffer(source, (pixels, depth), "int8", offset_factor=1)
        packed = T.match_buffer(target, (pairs, groups, 2, 4), "int16", offset_factor=1)
        with T.sblock("root"):
            pack_stage(data, packed, 0, pixels, depth)

    @T.prim_func(s_tir=True)
    def implementation(source: T.handle, target: T.handle) -> None:
        data = T.match_buffer(source, (pixels, depth), "int8", offset_factor=1)
        packed = T.match_buffer(target, (pairs, groups, 2, 4), "int16", offset_factor=1)
        with T.sblock("root"):
            T.reads(data[0:pixels, 0:depth])
            T.writes(packed[0:pairs, 0:groups, 0:2, 0:4])
            T.evaluate(T.call_extern("int32", function, data.access_ptr("r"), packed.access_ptr("w"), length))

    return define(f"{function}_{pixels}", description, implementation, micro_kernel)


def _pack_function(depth: int, odd: int) -> MicroKernel:
    """r0 and r1 walk over two pixels, r2 over the target; r3 counts pairs."""
    whole, rest = depth // 4, depth % 4
    pair = ["ldr r5, [r0], #4", "ldr r7, [r1], #4", *_EXTEND[:4], "stmia r2!, {r4-r7}"]
    pairs = [
        "ldr r5, [r0], #4",
        "ldr r9, [r0], #4",
        "ldr r7, [r1], #4",
        "ldr r11, [r1], #4",
        *_EXTEND,
        "stmia r2!, {r4-r11}",
    ]
    lines = ["push {r4-r11, lr}", "mov r3, r2", "mov r2, r1", f"add r1, r0, #{depth}"]
    lines += ["cmp r3, #0", "beq 3f", "1:"] if odd else ["1:"]
    lines += pair if whole % 2 else []
    if whole // 2:
        lines += [f"add r12, r0, #{whole // 2 * 8}"]
        lines += repeat(whole // 2, lambda: pairs, 2, lambda: ["cmp r0, r12"])
    if rest:
        lines += [*_load_rest("r5", "r0", depth), *_load_rest("r7", "r1", depth), *_EXTEND[:4]]
        lines += ["stmia r2!, {r4-r7}"]
    lines += [f"add r0, r1, #{rest}" if rest else "mov r0, r1", f"add r1, r0, #{depth}"]
    lines += ["subs r3, #1", "bne 1b"]
    if odd:
        single = ["ldr r5, [r0], #4", *_EXTEND[:2], "strd r4, r5, [r2], #16"]
        lines += ["3:"]
        if whole:
            lines += [f"add r12, r0, #{whole * 4}"]
            lines += repeat(whole, lambda: single, 4, lambda: ["cmp r0, r12"])
        if rest:
            lines += [*_load_rest("r5", "r0", depth), *_EXTEND[:2], "strd r4, r5, [r2]"]
    lines += ["pop {r4-r11, pc}"]
    name = f"tinyml_dsp_pack_{depth}{'_odd' if odd else ''}"
    return naked_function(name, "const int8_t *data, int16_t *packed, int32_t pairs", lines)


def _load_rest(register: str, source: str, depth: int) -> list[str]:
    """Load the last depth % 4 values, which start at `source`, as a word; nothing outside the pixel is read."""
    rest = depth % 4
    if depth > 4:
        # The word that ends with the pixel.
        return [f"ldr {register}, [{source}, #{rest - 4}]", f"lsr {register}, {register}, #{8 * (4 - rest)}"]
    load = {1: "ldrb", 2: "ldrh", 3: "ldrh"}[rest]
    lines = [f"{load} {register}, [{source}]"]
    if rest == 3:
        lines += [f"ldrb r12, [{source}, #2]", f"orr {register}, {register}, r12, lsl #16"]
    return lines
