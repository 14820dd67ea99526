"""Sums of two int8 vectors on one line: two fractional products each, SSAT with a shift.

SMLAWB and SMLAWT multiply a 32-bit factor with half a word and keep the upper 32 of the product's 48 bits, so the
operands stay in pairs as SXTB16 delivers them.
"""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import MicroKernel
from .assembly import Intrinsic, naked_function

# Instructions per element and per call.
SUM_INSTRUCTIONS, SUM_CALL_INSTRUCTIONS = 5.9, 40


def _line(a: Any, b: Any, line: Any) -> Any:
    """The clamped line as TensorIR; `line`: factors of a and b, addend, right shift."""
    total = T.Cast("int32", (T.Cast("int64", a) * T.int64(line[0])) >> T.int64(16))
    total = total + T.Cast("int32", (T.Cast("int64", b) * T.int64(line[1])) >> T.int64(16))
    return T.Cast("int8", T.max(T.min(T.shift_right(total + line[2], line[3]), 127), -128))


@script.macro
def sum_stage(a: Any, b: Any, output: Any, count: Any, line: Any) -> None:
    """output[i] = saturate(((a[i] * line[0] >> 16) + (b[i] * line[1] >> 16) + line[2]) >> line[3])."""
    T.reads(a[0:count], b[0:count])
    T.writes(output[0:count])
    for i in T.serial(count):
        with T.sblock("sum_value"):
            vi = T.axis.spatial(count, i)
            output[vi] = _line(a[vi], b[vi], line)


def sum_vectors(count: int, line: tuple[int, int, int, int]) -> Intrinsic:
    """Two vectors of `count` elements; see `sum_stage`."""
    micro_kernel = _sum_function(line[3])
    function = micro_kernel.name
    factor_a, factor_b, addend, _ = line

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(x: T.handle, y: T.handle, o: T.handle) -> None:
            a = T.match_buffer(x, (count,), "int8", offset_factor=1)
            b = T.match_buffer(y, (count,), "int8", offset_factor=1)
            output = T.match_buffer(o, (count,), "int8", offset_factor=1)
            with T.sblock("root"):
                sum_stage(a, b, output, count, line)

        @script.prim_func(s_tir=True)
        def implementation(x: T.handle, y: T.handle, o: T.handle) -> None:
            a = T.match_buffer(x, (count,), "int8", offset_factor=1)
            b = T.match_buffer(y, (count,), "int8", offset_factor=1)
            output = T.match_buffer(o, (count,), "int8", offset_factor=1)
            with T.sblock("root"):
                T.reads(a[0:count], b[0:count])
                T.writes(output[0:count])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        function,
                        a.access_ptr("r"),
                        b.access_ptr("r"),
                        output.access_ptr("w"),
                        count,
                        factor_a,
                        factor_b,
                        addend,
                    )
                )

        return description, implementation

    name = f"{function}_{count}_{factor_a}_{factor_b}_{addend}".replace("-", "m")
    return Intrinsic(name, micro_kernel, build)


def _sum_function(shift: int) -> MicroKernel:
    """r0 and r1 walk over the operands, r2 over the output, r3 counts; r4 to r6: factors and addend."""
    step = [
        "ldr r7, [r0], #4",
        "ldr r8, [r1], #4",
        "sxtb16 r9, r7",
        "sxtb16 r7, r7, ror #8",
        "sxtb16 r10, r8",
        "sxtb16 r8, r8, ror #8",
        "smlawb r11, r4, r9, r6",
        "smlawb r11, r5, r10, r11",
        "smlawb r12, r4, r7, r6",
        "smlawb r12, r5, r8, r12",
        "smlawt r9, r4, r9, r6",
        "smlawt r9, r5, r10, r9",
        "smlawt r7, r4, r7, r6",
        "smlawt r7, r5, r8, r7",
        *(f"ssat {register}, #8, {register}, asr #{shift}" for register in ("r11", "r12", "r9", "r7")),
        *(f"strb {register}, [r2], #1" for register in ("r11", "r12", "r9", "r7")),
    ]
    lines = [
        "push {r4-r11, lr}",
        "ldrd r4, r5, [sp, #36]",
        "ldr r6, [sp, #44]",
        "subs r3, #8",
        "blt 2f",
        "1:",
        *step,
        *step,
        "subs r3, #8",
        "bge 1b",
        "2:",
        "adds r3, #8",
        "beq 4f",
        "3:",
        "ldrsb r7, [r0], #1",
        "ldrsb r8, [r1], #1",
        "smlawb r11, r4, r7, r6",
        "smlawb r11, r5, r8, r11",
        f"ssat r11, #8, r11, asr #{shift}",
        "strb r11, [r2], #1",
        "subs r3, #1",
        "bne 3b",
        "4:",
        "pop {r4-r11, pc}",
    ]
    parameters = (
        "const int8_t *a, const int8_t *b, int8_t *output, int32_t count, int32_t factor_a, int32_t factor_b,"
        " int32_t addend"
    )
    return naked_function(f"tinyml_dsp_sum_{shift}", parameters, lines)
