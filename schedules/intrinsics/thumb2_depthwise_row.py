"""Assembly of the depthwise row for Armv7-M: sums and weights in 14 registers, one MLA per product.

A row of the window that has more weights than the registers is done in parts, each of which loads its pixels again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .scalar_thumb2 import load_fine, requantization, requantized

if TYPE_CHECKING:
    from .rv32_assembly import Epilogue
    from .scalar_depthwise_row import DepthwiseRow

# Registers of sums and weights; beside them there are the addresses, a counter and a pixel.
FREE = ("r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r2", "r3")
PIXEL, COUNTER = "r12", "lr"
# Weights that are held at a time.
MOST_WEIGHTS = 5
# Stack slots: what is pushed, the addresses of the factors and of their fine parts first; then the later arguments.
PUSHED = ("factors", "fine", *(f"r{number}" for number in range(4, 12)), "lr")
ARGUMENTS = ("output", "rows", "point")
# Loads and additions take constants of twelve bits, moves of sixteen.
REACH = 4095
HALF = 0xFFFF


def weights_held(kernel_w: int) -> int:
    """Weights of a row of the window that are in registers together."""
    return -(-kernel_w // -(-kernel_w // MOST_WEIGHTS))


def most_outputs(kernel_w: int) -> int:
    """Sums that the registers hold beside the weights."""
    return len(FREE) - weights_held(kernel_w)


def output_instructions(epilogue: Epilogue) -> int:
    """Instructions that turn a sum into an output and store it."""
    return len(requantized("r4", "r1", "r12", "lr", "r5", epilogue)) + 1


def _slot(name: str) -> str:
    return f"[sp, #{4 * (PUSHED + ARGUMENTS).index(name)}]"


def depthwise_row(row: DepthwiseRow) -> list[str]:
    """Instructions of a row of at most `most_outputs` outputs; r0 data, r1 weight, r2 factors, r3 fine."""
    sums, weights = FREE[: row.outputs], FREE[len(FREE) - weights_held(row.kernel_w) :]
    code = [".syntax unified", "push {r2-r11, lr}", f"ldr {sums[0]}, [r2]"]
    code += [f"mov {sum_}, {sums[0]}" for sum_ in sums[1:]]
    code += [f"ldr {COUNTER}, {_slot('rows')}", "1:"]
    moved = 0
    for first in range(0, row.kernel_w, len(weights)):
        held = dict(zip(range(first, row.kernel_w), weights, strict=False))
        code += [f"ldrsb {weight}, [r1], #1" for weight in held.values()]
        for column in row.columns:
            products = [(sums[output], held[kx]) for output, kx in row.products(column) if kx in held]
            if not products:
                continue
            if not 0 <= (column - moved) * row.pitch <= REACH:
                code += _moved("r0", (column - moved) * row.pitch, PIXEL)
                moved = column
            code.append(f"ldrsb {PIXEL}, [r0, #{(column - moved) * row.pitch}]")
            if row.zero_point:
                code += _moved(PIXEL, -row.zero_point, PIXEL)
            code += [f"mla {sum_}, {PIXEL}, {weight}, {sum_}" for sum_, weight in products]
    code += _moved("r0", row.row_pitch - moved * row.pitch, PIXEL)
    code += [f"subs {COUNTER}, {COUNTER}, #1", "bne 1b"]
    return [*code, *_outputs(row, sums), "pop {r2-r11, pc}"]


def _outputs(row: DepthwiseRow, sums: tuple[str, ...]) -> list[str]:
    """Requantise and store all sums; no weights are needed any more."""
    epilogue = row.epilogue
    output, multiplier, shift, addend, scratch = "r0", "r1", "r12", "lr", _free_of(sums)
    code = [f"ldr {multiplier}, {_slot('factors')}", f"ldr {multiplier}, [{multiplier}, #4]"]
    code += [f"ldr {addend}, {_slot('fine')}", load_fine(addend, addend, 0, epilogue)]
    code += [
        f"ldr {scratch}, {_slot('point')}",
        *requantization(multiplier, shift, addend, scratch, epilogue),
    ]
    code.append(f"ldr {output}, {_slot('output')}")
    stored = 0
    for index, sum_ in enumerate(sums):
        code += requantized(sum_, multiplier, shift, addend, scratch, epilogue)
        if (index - stored) * row.output_pitch > REACH:
            code += _moved(output, (index - stored) * row.output_pitch, scratch)
            stored = index
        code.append(f"strb {sum_}, [{output}, #{(index - stored) * row.output_pitch}]")
    return code


def _free_of(sums: tuple[str, ...]) -> str:
    return next(register for register in reversed(FREE) if register not in sums)


def _moved(register: str, value: int, scratch: str) -> list[str]:
    """register += value, by way of `scratch` where the value is large."""
    operation, size = ("add" if value >= 0 else "sub"), abs(value)
    if not size:
        return []
    if size <= REACH:
        return [f"{operation}w {register}, {register}, #{size}"]
    upper = [f"movt {scratch}, #{size >> 16}"] if size > HALF else []
    return [f"movw {scratch}, #{size & HALF}", *upper, f"{operation} {register}, {register}, {scratch}"]
