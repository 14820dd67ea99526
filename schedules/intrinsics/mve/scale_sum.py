"""Sums of pixels under the quantisation of their mean: four at a time, with one multiplier for all."""

from __future__ import annotations

from .assembly import function

# `shift` is not positive; `tie` is 1 where it is negative, so that what lies between two results goes away from zero.
_SUM = [
    "vldrw.u32 q0, [r0], #16",
    "vadd.i32 q0, q0, r3",
    "vqrdmulh.s32 q0, q0, r4",
    "vqdmlah.s32 q0, q0, r6",
    "vrshl.s32 q0, r5",
    "vadd.i32 q0, q0, r7",
    "vqmovnb.s32 q0, q0",
    "vqmovnb.s16 q0, q0",
    "vstrb.32 q0, [r1], #4",
]
SCALE_SUM = function(
    "tinyml_mve_scale_sum",
    (
        "const int32_t *sums",
        "int8_t *output",
        "int32_t count",
        "int32_t addend",
        "int32_t multiplier",
        "int32_t shift",
        "int32_t tie",
        "int32_t zero_point",
    ),
    [
        "push {r4-r8, lr}",
        "ldrd r4, r5, [sp, #24]",
        "ldrd r6, r7, [sp, #32]",
        "wlstp.32 lr, r2, 2f",
        "1:",
        *_SUM,
        "letp lr, 1b",
        "2:",
        "pop {r4-r8, pc}",
    ],
)


def scale_instructions(count: int) -> float:
    """Instructions of one call, the call included."""
    return 20 + (len(_SUM) + 1) * -(-count // 4)
