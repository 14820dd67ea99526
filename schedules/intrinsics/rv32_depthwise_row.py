"""Assembly of the depthwise row for RV32IM: the sums of a row of outputs and one row of weights in registers.

The loop over the rows of the window is in the kernel; each input column is loaded once per row and multiplied into
every output whose window holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rv32_assembly import REACH, Assembly

if TYPE_CHECKING:
    from .scalar_depthwise_row import DepthwiseRow


def depthwise_row(row: DepthwiseRow) -> list[str]:
    """Instructions of a row; a0 data, a1 weight, a2 factors, a3 fine, a4 output, a5 rows of the window, a6 point.

    Raises rv32_assembly.OutOfRegistersError.
    """
    asm = Assembly(arguments=7)
    sums = [asm.take() for _ in range(row.outputs)]
    weights = [asm.take() for _ in range(row.kernel_w)]
    value, product = asm.take(), asm.take()
    asm.emit(f"lw {sums[0]}, 0(a2)", *(f"mv {sum_}, {sums[0]}" for sum_ in sums[1:]))
    again = asm.label()
    asm.emit(f"{again}:", *(f"lb {weight}, {kx}(a1)" for kx, weight in enumerate(weights)))
    moved = 0
    for column in row.columns:
        if (column - moved) * row.pitch > REACH:
            asm.add_constant("a0", (column - moved) * row.pitch, value)
            moved = column
        asm.emit(f"lb {value}, {(column - moved) * row.pitch}(a0)")
        if row.zero_point:
            asm.emit(f"addi {value}, {value}, {-row.zero_point}")
        for output, kx in row.products(column):
            asm.emit(
                f"mul {product}, {value}, {weights[kx]}", f"add {sums[output]}, {sums[output]}, {product}"
            )
    asm.add_constant("a0", row.row_pitch - moved * row.pitch, value)
    # The body may be longer than a conditional branch reaches.
    done = asm.label()
    asm.emit(f"addi a1, a1, {row.kernel_w}", "addi a5, a5, -1")
    asm.emit(f"beqz a5, {done}f", f"j {again}b", f"{done}:")
    asm.give_back("a0", "a1", "a5", *weights, value, product)
    low, high, scratch = (asm.take() for _ in range(3))
    factors = asm.take_factors("a6", row.epilogue)
    asm.emit(f"li {low}, {row.epilogue.clamp_min}", f"li {high}, {row.epilogue.clamp_max}")
    asm.load_factors(("a2", "a3"), 0, factors, scratch, row.epilogue)
    stored = 0
    for output, sum_ in enumerate(sums):
        asm.requantize(sum_, factors, (low, high), row.epilogue)
        if (output - stored) * row.output_pitch > REACH:
            asm.add_constant("a4", (output - stored) * row.output_pitch, scratch)
            stored = output
        asm.emit(f"sb {sum_}, {(output - stored) * row.output_pitch}(a4)")
    return asm.lines()
