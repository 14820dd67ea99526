"""Products of one vector with up to four weight rows at a time, weights straight from flash.

The vector lies in scratch as int16; the scaled form (see `direct.py`) reads every weight word as it is and once more
with its even bytes only: 27 instructions for eight values and four rows instead of 36.
"""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import MicroKernel
from .assembly import MAX_UNROLLED, Intrinsic, Unrolled, add_end, naked_function, repeat
from .epilogue import Accumulator, Epilogue
from .scratch import MIN_SCRATCH

# Rows per call.
ROWS = 4
_AT_END = ["ldr r12, [sp, #8]", "cmp r0, r12"]
# Instructions of a call beside reduction and requantisation, with those of the caller.
DENSE_CALL_INSTRUCTIONS = 40


def vector_groups(depth: int) -> int:
    """Groups of four values that scratch for a vector has room for."""
    return max((depth + 3) // 4, MIN_SCRATCH // 4)


def _value(data: Any, column: Any, depth: int) -> Any:
    value = T.Cast("int32", data[column])
    return value if depth % 4 == 0 else T.if_then_else(column < depth, value, 0)


def _plain(data: Any, depth: int, group: Any, i: Any, j: Any) -> Any:
    return T.Cast("int16", _value(data, group * 4 + j * 2 + i, depth))


def _scaled(data: Any, depth: int, group: Any, i: Any, j: Any) -> Any:
    even, odd = _value(data, group * 4 + j * 2, depth), _value(data, group * 4 + j * 2 + 1, depth)
    return T.Cast("int16", T.if_then_else(i == 0, odd, even * 256 - odd + 127))


@script.macro
def vector_stage(data: Any, vector: Any, depth: Any, scaled: Any) -> None:
    """A vector int8[depth] as int16[groups, 4].

    The values (a, b, c, d) of a group become (a, c, b, d), or when scaled (b, d, 256 a - b + 127, 256 c - d + 127);
    values beyond the depth count as zero.
    """
    T.reads(data[0:depth])
    T.writes(vector[0 : vector_groups(depth), 0:4])
    for k, i, j in T.grid((depth + 3) // 4, 2, 2):
        with T.sblock("pack_group"):
            vk, vi, vj = T.axis.remap("SSS", [k, i, j])
            if scaled:
                vector[vk, vi * 2 + vj] = _scaled(data, depth, vk, vi, vj)
            else:
                vector[vk, vi * 2 + vj] = _plain(data, depth, vk, vi, vj)


def pack_vector(depth: int, scaled: bool) -> Intrinsic:
    """A vector in scratch; see `vector_stage`."""
    micro_kernel = _vector_function(depth, scaled)
    function, groups = micro_kernel.name, vector_groups(depth)

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(d: T.handle, v: T.handle) -> None:
            data = T.match_buffer(d, (depth,), "int8", offset_factor=1)
            vector = T.match_buffer(v, (groups, 4), "int16", offset_factor=1)
            with T.sblock("root"):
                vector_stage(data, vector, depth, scaled)

        @script.prim_func(s_tir=True)
        def implementation(d: T.handle, v: T.handle) -> None:
            data = T.match_buffer(d, (depth,), "int8", offset_factor=1)
            vector = T.match_buffer(v, (groups, 4), "int16", offset_factor=1)
            with T.sblock("root"):
                T.reads(data[0:depth])
                T.writes(vector[0:groups, 0:4])
                T.evaluate(T.call_extern("int32", function, data.access_ptr("r"), vector.access_ptr("w")))

        return description, implementation

    return Intrinsic(function, micro_kernel, build)


def vector_instructions(depth: int, scaled: bool) -> float:
    """Instructions of one call of `pack_vector`'s function."""
    return 12 + (depth + 3) // 4 * (6.2 if scaled else 4.2)


def _vector_function(depth: int, scaled: bool) -> MicroKernel:
    finish = ["sxtb16 r4, r3", "sxtb16 r5, r3, ror #8", "strd r4, r5, [r1], #8"]
    lines = ["push {r4-r6, lr}"]
    if scaled:
        lines += ["mov r6, #0x7f007f"]
        finish = [
            "uxtb16 r5, r3",
            "sxtb16 r4, r3, ror #8",
            "orr r5, r6, r5, lsl #8",
            "ssub16 r5, r5, r4",
            "strd r4, r5, [r1], #8",
        ]
    step, words, rest = ["ldr r3, [r0], #4", *finish], depth // 4, depth % 4
    lines += add_end("r2", "r0", 4 * words) if words else []
    lines += repeat(words, lambda: step, 1, lambda: ["cmp r0, r2"], longest=len(step) * 8)
    if rest:
        lines += ["ldrb r3, [r0]"]
        for byte in range(1, rest):
            lines += [f"ldrb r2, [r0, #{byte}]", f"orr r3, r3, r2, lsl #{8 * byte}"]
        lines += finish
    name = f"tinyml_dsp_{'scaled' if scaled else 'plain'}_vector_{depth}"
    return naked_function(name, "const int8_t *data, int16_t *vector", [*lines, "pop {r4-r6, pc}"])


def _scaled_product(vector: Any, weights: Any, block: Any, group: Any, row: Any, index: Any) -> Any:
    even = T.Cast("int32", weights[block, group, row, index * 2])
    both = T.Cast("int32", weights[block, group, row, index * 2 + 1]) * 256 + T.bitwise_and(even, 255)
    return T.Cast("int32", vector[group, index]) * both + T.Cast("int32", vector[group, index + 2]) * even


@script.macro
def dense_stages(
    vector: Any,
    weights: Any,
    requantization: Any,
    sums: Any,
    output: Any,
    form: Any,
    offsets: Any,
    epilogue: Any,
) -> None:
    """Some outputs of a dense layer.

    vector[groups, 4], weights[blocks, groups, rows, 4], requantization[blocks, 2, rows], sums[rows], output[channel].
    form: groups, rows and whether vector and weights are scaled. offsets: block and first channel.
    """
    T.reads(
        vector[0 : vector_groups(form[0] * 4), 0:4],
        weights[offsets[0], 0 : form[0], 0 : form[1], 0:4],
        requantization[offsets[0], 0:2, 0 : form[1]],
    )
    T.writes(sums[0 : form[1]], output[offsets[1] : offsets[1] + form[1]])
    for c in T.serial(form[1]):
        with T.sblock("bias"):
            vc = T.axis.spatial(form[1], c)
            sums[vc] = epilogue.bias(requantization[offsets[0], 0, vc]) * (256 if form[2] else 1)
    if form[2]:
        for c, k, i in T.grid(form[1], form[0], 2):
            with T.sblock("products"):
                vc, vk, vi = T.axis.remap("SRR", [c, k, i])
                sums[vc] = sums[vc] + _scaled_product(vector, weights, offsets[0], vk, vc, vi)
    else:
        for c, k, i, j in T.grid(form[1], form[0], 2, 2):
            with T.sblock("products"):
                vc, vk, vi, vj = T.axis.remap("SRRR", [c, k, i, j])
                sums[vc] = sums[vc] + T.Cast("int32", vector[vk, vi * 2 + vj]) * T.Cast(
                    "int32", weights[offsets[0], vk, vc, vj * 2 + vi]
                )
    for c in T.serial(form[1]):
        with T.sblock("requantize"):
            vc = T.axis.spatial(form[1], c)
            output[offsets[1] + vc] = epilogue.value(
                T.shift_right(sums[vc], 8 if form[2] else 0),
                requantization[offsets[0], 0, vc],
                requantization[offsets[0], 1, vc],
            )


def dense_rows(groups: int, rows: int, epilogue: Epilogue, scaled: bool, compact: bool) -> Intrinsic:
    """Up to four outputs; see `dense_stages`. compact: by little code."""
    form, room, origin = (groups, rows, scaled), vector_groups(groups * 4), epilogue.origin
    micro_kernel = _dense_function(rows, epilogue, scaled, compact)
    function = micro_kernel.name
    reduction = _reduction(groups, rows, scaled, compact)

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(v: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            vector = T.match_buffer(v, (room, 4), "int16", offset_factor=1)
            weights = T.match_buffer(w, (1, groups, rows, 4), "int8", offset_factor=1)
            requantization = T.match_buffer(r, (1, 2, rows), "int32", offset_factor=1)
            sums = T.match_buffer(s, (rows,), "int32", offset_factor=1)
            output = T.match_buffer(o, (rows,), "int8", offset_factor=1)
            with T.sblock("root"):
                dense_stages(vector, weights, requantization, sums, output, form, (0, 0), epilogue)

        @script.prim_func(s_tir=True)
        def implementation(v: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            vector = T.match_buffer(v, (room, 4), "int16", offset_factor=1)
            weights = T.match_buffer(w, (1, groups, rows, 4), "int8", offset_factor=1)
            requantization = T.match_buffer(r, (1, 2, rows), "int32", offset_factor=1)
            sums = T.match_buffer(s, (rows,), "int32", offset_factor=1)
            output = T.match_buffer(o, (rows,), "int8", offset_factor=1)
            with T.sblock("root"):
                T.reads(
                    vector[0:room, 0:4], weights[0, 0:groups, 0:rows, 0:4], requantization[0, 0:2, 0:rows]
                )
                T.writes(sums[0:rows], output[0:rows])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        function,
                        vector.access_ptr("r"),
                        weights.access_ptr("r"),
                        requantization.access_ptr("r"),
                        output.access_ptr("w"),
                        reduction,
                        origin,
                    )
                )

        return description, implementation

    return Intrinsic(f"{function}_{groups}_{origin}", micro_kernel, build)


def _group(rows: int, scaled: bool, values: tuple[str, str]) -> list[str]:
    """One group of all rows; accumulators from r2, words of weights from r6."""
    weights = [f"r{6 + row}" for row in range(rows)]
    # Four bytes each, where the other way to load two words takes two.
    load = {1: "ldr r6, [r1], #4", 2: "ldrd r6, r7, [r1], #8"}
    lines = [load.get(rows, f"ldmia r1!, {{{', '.join(weights)}}}")]
    for row, word in enumerate(weights):
        total = f"r{2 + row}"
        if scaled:
            lines += [f"smlad {total}, {values[0]}, {word}, {total}", f"sxtb16 {word}, {word}"]
            lines += [f"smlad {total}, {values[1]}, {word}, {total}"]
        else:
            lines += [f"sxtb16 lr, {word}", f"sxtb16 {word}, {word}, ror #8"]
            lines += [
                f"smlad {total}, {values[0]}, lr, {total}",
                f"smlad {total}, {values[1]}, {word}, {total}",
            ]
    return lines


def _loop(rows: int, scaled: bool, compact: bool) -> Unrolled:
    """The reduction; the scaled form takes two groups of the vector at once."""
    if scaled:
        step = ["ldmia r0!, {r10-r12, lr}", *_group(rows, scaled, ("r10", "r11"))]
        step += _group(rows, scaled, ("r12", "lr"))
    else:
        step = ["ldrd r10, r11, [r0], #8", *_group(rows, scaled, ("r10", "r11"))]
    return Unrolled(step, 1 if compact else MAX_UNROLLED // (2 * len(step)))


def _reduction(groups: int, rows: int, scaled: bool, compact: bool) -> int:
    """The argument that says where the vector ends, in bytes, and above that where the loop is entered.

    The steps of the scaled form are pairs of groups; an odd one is done before.
    """
    loop, steps = _loop(rows, scaled, compact), groups // 2 if scaled else groups
    return groups * 8 + (loop.entry(steps) << 16)


def _dense_function(rows: int, epilogue: Epilogue, scaled: bool, compact: bool) -> MicroKernel:
    """r0 walks over the vector, r1 over weights; on the stack: end of the vector, requantisation, output."""
    lines = [
        "push {r4-r11, lr}",
        "ldr r10, [sp, #36]",
        "uxth r12, r10",
        "add r12, r0",
        "push {r2, r3, r12}",
        f"ldmia r2, {{r2-r{1 + rows}}}" if rows > 1 else "ldr r2, [r2]",
    ]
    for row in range(rows):
        lines += [f"asr r{2 + row}, r{2 + row}, #{epilogue.bits}"]
        lines += [f"lsl r{2 + row}, r{2 + row}, #8"] if scaled else []
    if scaled:
        single = ["ldrd r10, r11, [r0], #8", *_group(rows, scaled, ("r10", "r11"))]
        lines += ["tst r10, #8", "beq 2f", *single, *_AT_END, "beq 3f", "2:"]
    lines += ["ldr r12, [sp, #48]", "adr lr, 1f", "add lr, lr, r12, lsr #16", "bx lr"]
    lines += [*_loop(rows, scaled, compact).body(1, _AT_END), "3:", "pop {r0, r1, r12}", "ldr r11, [sp, #40]"]
    lines += [f"asr r{2 + row}, r{2 + row}, #8" for row in range(rows) if scaled]
    for row in range(rows):
        lines += [f"ldr r6, [r0, #{4 * (rows + row)}]", f"ldr r7, [r0, #{4 * row}]"]
        lines += epilogue.unpack("r7", "r7", "r11", "r8")
        lines += epilogue.requantize([Accumulator(f"r{2 + row}", "r6", "r7", "r8")], ("r9", "r10"))
        lines += [f"strb r{2 + row}, [r1, #{row}]"]
    lines += ["pop {r4-r11, pc}"]
    name = f"tinyml_dsp_{'compact_' if compact else ''}{'scaled' if scaled else 'plain'}_dense_{rows}_{epilogue.key}"
    parameters = (
        "const int16_t *vector, const int8_t *weights, const int32_t *requantization, int8_t *output,"
        " int32_t reduction, int32_t origin"
    )
    return naked_function(name, parameters, lines)
