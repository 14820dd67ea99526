"""Sums of pixels added to running sums: sixteen channels in four vectors of 32 bits, pixel after pixel."""

from __future__ import annotations

from .assembly import function

CHANNELS = 16
_VECTORS = [f"q{index}" for index in range(4)]
_LANES = 4
# Of a pixel and of a block of channels.
_PIXEL = [
    line
    for index, vector in enumerate(_VECTORS)
    for line in (
        f"vldrb.s32 q{4 + index % 2}, [r6, #{_LANES * index}]",
        f"vadd.i32 {vector}, {vector}, q{4 + index % 2}",
    )
]
_BEFORE = [
    "mov r6, r0",
    *(f"vldrw.u32 {vector}, [r1, #{16 * index}]" for index, vector in enumerate(_VECTORS)),
]
_AFTER = [f"vstrw.32 {vector}, [r1], #16" for vector in _VECTORS]

SUM_PIXELS = function(
    "tinyml_mve_sum_pixels",
    ("const int8_t *data", "int32_t *sums", "int32_t pixels", "int32_t channels", "int32_t blocks"),
    [
        "push {r4-r6, lr}",
        "vpush {d8-d11}",
        "ldr r4, [sp, #48]",
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
        "vpop {d8-d11}",
        "pop {r4-r6, pc}",
    ],
)


def sum_instructions(pixels: int, blocks: int) -> float:
    """Instructions of one call, the call included."""
    return 15 + blocks * (len(_BEFORE) + 1 + pixels * (len(_PIXEL) + 2) + len(_AFTER) + 3)
