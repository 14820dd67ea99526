"""Sums of pixels added to running sums: sixteen channels in two vectors of 16 bits, pixel after pixel, then widened."""

from __future__ import annotations

from .assembly import function

CHANNELS = 16
MAX_PIXELS = 256
"""Sums of so many int8 values fit sixteen bits."""
_SUMS, _LANES = ("q0", "q4"), 8
# Of a pixel, and of a block of channels.
_PIXEL = [
    line
    for index, vector in enumerate(_SUMS)
    for line in (
        f"vldrb.s16 q{1 + index}, [r6, #{_LANES * index}]",
        f"vadd.i16 {vector}, {vector}, q{1 + index}",
    )
]
_BEFORE = ["mov r6, r0", *(f"vmov.i32 {vector}, #0" for vector in _SUMS)]
# Running sums come and go as even and odd channels, as widening leaves those of the pixels.
_AFTER = [
    line
    for vector in _SUMS
    for line in (
        "vld20.32 {q2, q3}, [r1]",
        f"vmovlb.s16 q1, {vector}",
        "vld21.32 {q2, q3}, [r1]",
        "vadd.i32 q2, q2, q1",
        f"vmovlt.s16 q1, {vector}",
        "vadd.i32 q3, q3, q1",
        "vst20.32 {q2, q3}, [r1]",
        "vst21.32 {q2, q3}, [r1]!",
    )
]

SUM_PIXELS = function(
    "tinyml_mve_sum_pixels",
    ("const int8_t *data", "int32_t *sums", "int32_t pixels", "int32_t channels", "int32_t blocks"),
    [
        "push {r4-r6, lr}",
        "vpush {d8-d9}",
        "ldr r4, [sp, #32]",
        "1:",
        *_BEFORE,
        "dls lr, r2",
        "2:",
        *_PIXEL,
        "add r6, r6, r3",
        "le lr, 2b",
        *_AFTER,
        f"adds r0, #{CHANNELS}",
        "subs r4, r4, #1",
        "bne 1b",
        "vpop {d8-d9}",
        "pop {r4-r6, pc}",
    ],
)


def sum_instructions(pixels: int, blocks: int) -> float:
    """Instructions of one call, the call included."""
    return 15 + blocks * (len(_BEFORE) + 1 + pixels * (len(_PIXEL) + 2) + len(_AFTER) + 3)
