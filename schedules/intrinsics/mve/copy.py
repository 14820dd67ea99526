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
# Instructions per sixteen bytes, and of a call.
COPY_VECTOR, FILL_VECTOR, CALL = 3, 2, 16


def copy_instructions(count: int) -> float:
    """Instructions of copying `count` bytes, the call included."""
    return CALL + COPY_VECTOR * -(-count // 16)


def fill_instructions(count: int) -> float:
    """Instructions of filling `count` bytes, the call included."""
    return CALL + FILL_VECTOR * -(-count // 16)
