"""Linear sum of two int8 tensors: out = clamp((a * factor_a + b * factor_b + addend) >> shift), eight at a time.

The shift is split into two saturating narrowing shifts, so it comes for free when it is between 17 and 24. They round,
which the addend takes back: VQSHRN would not, but GNU as 2.40 writes VQRSHRN in its place.
"""

from __future__ import annotations

from ...kernel import MicroKernel
from .assembly import function

# Bits that the first narrowing shifts by, and the range of the second.
_FIRST = 16
SHIFTS = range(_FIRST + 1, _FIRST + 9)
_LANES = 8
INSTRUCTIONS_PER_VECTOR = 14


def rounding_of(shift: int) -> int:
    """What the two roundings add before a shift."""
    return (1 << _FIRST - 1) + (1 << shift - 1)


def add_kernel(shift: int, clamp_min: int, clamp_max: int) -> MicroKernel:
    """Micro-kernel for a shift of SHIFTS."""
    limits = [
        f"_{word}{abs(limit)}{'n' if limit < 0 else ''}"
        for word, limit, natural in (("min", clamp_min, -128), ("max", clamp_max, 127))
        if limit != natural
    ]
    return function(
        f"tinyml_mve_add_shift{shift}{''.join(limits)}",
        (
            "const int8_t *a",
            "const int8_t *b",
            "int8_t *output",
            "int32_t count",
            "int32_t factor_a",
            "int32_t factor_b",
            "int32_t rounded_addend",
        ),
        _code(shift, clamp_min, clamp_max),
    )


def _code(shift: int, clamp_min: int, clamp_max: int) -> list[str]:
    lower, upper = clamp_min > -128, clamp_max < 127
    code = ["push {r4-r8, lr}", "vpush {d8-d13}", "ldrd r4, r5, [sp, #72]", "ldr r6, [sp, #80]"]
    # Lanes 0, 2, 4, ... come from the first vector of four, lanes 1, 3, ... from the second.
    code += ["vdup.32 q3, r4", "adr.w r7, 8f", "vldrh.u16 q4, [r7]"]
    code += (
        [f"vmvn.i16 q5, #{~clamp_min}" if clamp_min < 0 else f"vmov.i16 q5, #{clamp_min}"] if lower else []
    )
    code += (
        [f"vmvn.i16 q6, #{~clamp_max}" if clamp_max < 0 else f"vmov.i16 q6, #{clamp_max}"] if upper else []
    )
    code += ["lsrs r7, r3, #3", "wls lr, r7, 2f", "1:"]
    code += ["vldrb.s32 q0, [r0], #8", "vldrb.s32 q1, [r0, #-4]"]
    code += ["vmlas.s32 q0, q3, r6", "vmlas.s32 q1, q3, r6"]
    code += [
        "vldrb.s32 q2, [r1], #8",
        "vmla.s32 q0, q2, r5",
        "vldrb.s32 q2, [r1, #-4]",
        "vmla.s32 q1, q2, r5",
    ]
    code += [f"vqrshrnb.s32 q0, q0, #{_FIRST}", f"vqrshrnt.s32 q0, q1, #{_FIRST}"]
    code += [f"vqrshrnb.s16 q0, q0, #{shift - _FIRST}"]
    if lower or upper:
        code.append("vmovlb.s8 q0, q0")
    code += ["vmax.s16 q0, q0, q5"] if lower else []
    code += ["vmin.s16 q0, q0, q6"] if upper else []
    code += ["vstrb.16 q0, [r2, q4]", "adds r2, #8", "le lr, 1b", "2:"]
    # The rest one by one.
    code += ["ands r3, r3, #7", "wls lr, r3, 4f", "3:", "ldrsb r7, [r0], #1", "ldrsb r8, [r1], #1"]
    code += ["mla r7, r7, r4, r6", "mla r7, r8, r5, r7"]
    code += [f"add r7, r7, #{1 << _FIRST - 1}", f"add r7, r7, #{1 << shift - 1}", f"asrs r7, r7, #{shift}"]
    for condition, limit in (("lt", clamp_min), ("gt", clamp_max)):
        code += [f"cmp r7, #{limit}" if limit >= 0 else f"cmn r7, #{-limit}", f"it {condition}"]
        code += [f"{'mov' if limit >= 0 else 'mvn'}{condition} r7, #{limit if limit >= 0 else ~limit}"]
    code += ["strb r7, [r2], #1", "le lr, 3b", "4:", "vpop {d8-d13}", "pop {r4-r8, pc}"]
    return [*code, ".balign 4", "8:", ".short 0, 4, 1, 5, 2, 6, 3, 7"]
