"""Runs of bytes: copied, or filled with a value, by tail-predicated loops."""

from __future__ import annotations

from .assembly import function

_ENTRY = ["push {r4, lr}", "wlstp.8 lr, r2, 2f"]
_EXIT = ["vstrb.8 q0, [r0], #16", "letp lr, 1b", "2:", "pop {r4, pc}"]

COPY = function(
    "tinyml_mve_copy",
    ("int8_t *target", "const int8_t *source", "int32_t count"),
    [*_ENTRY, "1:", "vldrb.u8 q0, [r1], #16", *_EXIT],
)
FILL = function(
    "tinyml_mve_fill",
    ("int8_t *target", "int32_t value", "int32_t count"),
    ["vdup.8 q0, r1", *_ENTRY, "1:", *_EXIT],
)
SHORT = 16
"""Most bytes of the rows of COPY_SHORT."""
COPY_SHORT = function(
    "tinyml_mve_copy_short_rows",
    (
        "int8_t *target",
        "const int8_t *source",
        "int32_t count",
        "int32_t rows",
        "int32_t target_pitch",
        "int32_t source_pitch",
    ),
    [
        "push {r4, r5, r7, lr}",
        "vctp.8 r2",
        "ldrd r4, r5, [sp, #16]",
        "dls lr, r3",
        "1:",
        "vpstt",
        "vldrbt.u8 q0, [r1]",
        "vstrbt.8 q0, [r0]",
        "add r0, r0, r4",
        "add r1, r1, r5",
        "le lr, 1b",
        "pop {r4, r5, r7, pc}",
    ],
)
# Instructions per sixteen bytes, per short row, and of a call.
COPY_VECTOR, FILL_VECTOR, _COPY_ROW, CALL = 3, 2, 6, 16


def copy_instructions(count: int) -> float:
    """Instructions of copying `count` bytes, the call included."""
    return CALL + COPY_VECTOR * -(-count // 16)


def fill_instructions(count: int) -> float:
    """Instructions of filling `count` bytes, the call included."""
    return CALL + FILL_VECTOR * -(-count // 16)


def copy_short_instructions(rows: int) -> float:
    """Instructions of copying some short rows, the call included."""
    return CALL + 6 + _COPY_ROW * rows
