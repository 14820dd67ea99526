"""Where the outputs of a tile of four pixels and two channels go: offsets for a scatter store, by lane.

The lanes are pixels 0, 2, 0, 2, 1, 3, 1, 3 of channels 0, 0, 1, 1, 0, 0, 1, 1: those of two vectors of sums (pixels 0
and 1, pixels 2 and 3), narrowed into each other.
"""

from __future__ import annotations

_PIXELS = (0, 2, 0, 2, 1, 3, 1, 3)
_CHANNELS = (0, 0, 1, 1, 0, 0, 1, 1)


def places_of_outputs(vector: str, from_literals: bool = False, planes: bool = False) -> list[str]:
    """Offsets from the first output to `vector`; r4: distance of two pixels, or of two channels where they are planes.

    Uses r0, and r2, r6, r8 without literals.
    """
    if from_literals:
        near, far = ("q0", vector) if planes else (vector, "q0")
        code = ["adr.w r0, 9f", f"vldrb.u16 {near}, [r0]", f"vldrb.u16 {far}, [r0, #8]"]
        return [*code, f"vmla.s16 {vector}, q0, r4"]
    if planes:
        return [
            "mov r0, #0x20000",
            "add r2, r0, r4",
            "add r2, r2, r4, lsl #16",
            "add r6, r0, #0x10001",
            "add r8, r2, #0x10001",
            f"vmov {vector}[2], {vector}[0], r0, r6",
            f"vmov {vector}[3], {vector}[1], r2, r8",
        ]
    return [
        "lsl r0, r4, #17",
        "add r2, r0, #0x10001",
        "add r6, r0, r4",
        "add r6, r6, r4, lsl #16",
        "add r8, r6, #0x10001",
        f"vmov {vector}[2], {vector}[0], r0, r6",
        f"vmov {vector}[3], {vector}[1], r2, r8",
    ]


def literals() -> list[str]:
    """What `places_of_outputs` reads behind the code."""
    lanes = (", ".join(map(str, values)) for values in (_CHANNELS, _PIXELS))
    return [".balign 4", "9:", *(f".byte {line}" for line in lanes)]
