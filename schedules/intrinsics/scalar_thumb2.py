"""Assembly of the matrix tile for Armv7-M: up to 9 sums at a time in 14 registers, one MLA per product.

A group of channels whose weights lie side by side is done in one pass or two, as the registers allow. Registers: r0
data, r1 weight in the reduction; the arguments are kept on the stack for the next pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .scalar import MatrixTile

# Products per output in one round of the reduction loop.
UNROLL = 8
REACH = 4095
POOL = ("r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr")
# Stack slots: passes left, data, weight, parameters, output.
PASSES, DATA, WEIGHT, PARAMETERS, OUTPUT = 0, 4, 8, 12, 16


def pass_width(tile: MatrixTile) -> int:
    """Channels of one pass: a divisor of a group's whose sums and operands fit the registers."""
    return max(
        width
        for width in range(1, tile.lanes + 1)
        if tile.lanes % width == 0 and tile.pixels * width + min(tile.pixels, width) + 2 <= len(POOL)
    )


def matrix_tile(tile: MatrixTile) -> list[str]:
    """Instructions of a tile; r0 data, r1 weight, r2 parameters, r3 output."""
    width = pass_width(tile)
    passes = tile.groups * tile.lanes // width
    code = [".syntax unified", "push {r0-r11, lr}", f"mov r4, #{passes}", "push {r4}"]
    if passes > 1:
        code.append("1:")
    pool = list(POOL)
    sums = [[pool.pop() for _ in range(width)] for _ in range(tile.pixels)]
    held = [pool.pop() for _ in range(min(tile.pixels, width))]
    streamed, end = pool.pop(), pool.pop()
    code += _start(tile, sums, streamed)
    rounds, rest = divmod(tile.depth, UNROLL)
    if rounds > 1:
        code += [*_constant(end, rounds * UNROLL), f"add {end}, r0, {end}", "2:"]
    if rounds:
        code += _products(tile, UNROLL, sums, held, streamed)
    if rounds > 1:
        code += [f"cmp r0, {end}", "bne 2b"]
    code += _products(tile, rest, sums, held, streamed)
    code += _outputs(tile, width, sums, [*held, streamed, end, "r0", "r1", *pool])
    if passes > 1:
        code += _next_pass(tile, width)
    return [*code, "add sp, sp, #20", "pop {r4-r11, pc}"]


def _constant(register: str, value: int) -> list[str]:
    """Load a small non-negative constant."""
    return [f"movw {register}, #{value}"]


def _start(tile: MatrixTile, sums: list[list[str]], scratch: str) -> list[str]:
    code = [f"ldr {scratch}, [sp, #{PARAMETERS}]"]
    for channel, first in enumerate(sums[0]):
        code.append(f"ldr {first}, [{scratch}, #{4 * channel}]")
        code += [f"mov {row[channel]}, {first}" for row in sums[1:]]
    return code


def _products(
    tile: MatrixTile, depth: int, sums: list[list[str]], held: list[str], streamed: str
) -> list[str]:
    """`depth` products of every sum; then move the addresses past them."""
    code = []
    width = len(sums[0])
    by_row = tile.pixels < width
    for k in range(depth):
        rows = [f"[r0, #{row * tile.pitch + k}]" for row in range(tile.pixels)]
        columns = [f"[r1, #{k * tile.lanes + channel}]" for channel in range(width)]
        kept, passing = (rows, columns) if by_row else (columns, rows)
        code += [f"ldrsb {register}, {place}" for register, place in zip(held, kept, strict=True)]
        for outer, place in enumerate(passing):
            code.append(f"ldrsb {streamed}, {place}")
            for inner, register in enumerate(held):
                sum_ = sums[inner][outer] if by_row else sums[outer][inner]
                code.append(f"mla {sum_}, {register}, {streamed}, {sum_}")
    if depth:
        code += [f"add r0, r0, #{depth}", f"add r1, r1, #{depth * tile.lanes}"]
    return code


def _outputs(tile: MatrixTile, width: int, sums: list[list[str]], free: list[str]) -> list[str]:
    pointer, multiplier, addend, shift, scratch, *_ = free
    code = []
    for channel in range(width):
        code.append(f"ldr {pointer}, [sp, #{PARAMETERS}]")
        for index, register in enumerate((multiplier, addend, shift), start=1):
            code.append(f"ldr {register}, [{pointer}, #{4 * (index * tile.lanes + channel)}]")
        code.append(f"ldr {pointer}, [sp, #{OUTPUT}]")
        for row in range(tile.pixels):
            x = sums[row][channel]
            if tile.finer:
                code += [f"lsl {x}, {x}, #{tile.finer}", f"smull {scratch}, {x}, {x}, {multiplier}"]
                code += [f"asr {scratch}, {x}, #31", f"add {x}, {x}, {scratch}, lsl #{tile.finer - 1}"]
            else:
                code.append(f"smull {scratch}, {x}, {x}, {multiplier}")
            code += [f"add {x}, {x}, {addend}", f"asr {x}, {x}, {shift}", f"ssat {x}, #8, {x}"]
            if tile.clamp_min > -128:
                code += [f"cmp {x}, #{tile.clamp_min}", "it lt", f"movlt {x}, #{tile.clamp_min}"]
            if tile.clamp_max < 127:
                code += [f"cmp {x}, #{tile.clamp_max}", "it gt", f"movgt {x}, #{tile.clamp_max}"]
            offset = row * tile.output_pitch + channel
            if offset <= REACH:
                code.append(f"strb {x}, [{pointer}, #{offset}]")
            else:
                code += [*_constant(scratch, offset), f"strb {x}, [{pointer}, {scratch}]"]
    return code


def _next_pass(tile: MatrixTile, width: int) -> list[str]:
    """Count down; move the arguments to the next channels of the group or to the next group."""
    in_group = (4 * width, width)
    in_next = (16 * tile.lanes - 4 * (tile.lanes - width), (tile.depth - 1) * tile.lanes + width)
    passes = tile.lanes // width
    steps = ["subs r0, r0, #1", "beq 3f", f"str r0, [sp, #{PASSES}]"]
    if tile.groups == 1 or passes == 1:
        parameters, weight = in_group if tile.groups == 1 else in_next
        steps += [*_constant("r2", parameters), *_constant("r3", weight)]
    else:
        # Two passes: the number of passes left is odd after the first one of a group.
        steps += [*_constant("r2", in_next[0]), *_constant("r3", in_next[1]), "tst r0, #1", "itt ne"]
        steps += [f"movne r2, #{in_group[0]}", f"movne r3, #{in_group[1]}"]
    for slot, step in ((PARAMETERS, "r2"), (WEIGHT, "r3"), (OUTPUT, f"#{width}")):
        steps += [f"ldr r1, [sp, #{slot}]", f"add r1, r1, {step}", f"str r1, [sp, #{slot}]"]
    return [
        f"ldr r0, [sp, #{PASSES}]",
        *steps,
        f"ldr r1, [sp, #{WEIGHT}]",
        f"ldr r0, [sp, #{DATA}]",
        "b 1b",
        "3:",
    ]
