"""Channel planes: some rows of NHWC activations scattered so that each channel becomes an image of its own.

A load of eight channels is spread over eight planes by one scatter store; four offset vectors serve four neighbouring
pixels, so that the pointers move once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...kernel import MicroKernel
from .assembly import BYTE_RANGE, add_constant, function, load_constant

# Channels of one load.
GROUP = 8
_PIXELS = 4


@dataclass(frozen=True)
class Planes:
    """Geometry of planes.

    group: channels, at most GROUP. width: pixels of an input row. channels: bytes from one pixel to the next.
    pitch: bytes from one row of a plane to the next. size: bytes of a plane.
    """

    group: int
    width: int
    channels: int
    pitch: int
    size: int

    @property
    def name(self) -> str:
        """Name of the micro-kernel that fills them."""
        return (
            f"tinyml_mve_planes_{self.group}x{self.size}_of{self.width}_every{self.channels}_row{self.pitch}"
        )


def planes_kernel(planes: Planes) -> MicroKernel:
    """Scatter `rows` rows of `source` into planes; both pointers at the first pixel to move."""
    return function(planes.name, ("const int8_t *source", "int8_t *target", "int32_t rows"), _code(planes))


def planes_instructions(planes: Planes, rows: int) -> float:
    """Instructions of one call, the call included."""
    whole, rest = divmod(planes.width, _PIXELS)
    block = len(_pixels(planes, _PIXELS)) + 2
    return 40 + rows * (4 + whole * block + (len(_pixels(planes, rest)) if rest else 0))


def _code(planes: Planes) -> list[str]:
    whole, rest = divmod(planes.width, _PIXELS)
    code = ["push {r4, lr}", "vpush {d8-d11}", "movs r4, #0", "vidup.u16 q0, r4, #1"]
    code += [*load_constant("r3", planes.size), "vmul.i16 q0, q0, r3", "movs r3, #1"]
    code += [f"vadd.i16 q{pixel + 1}, q{pixel}, r3" for pixel in range(_PIXELS - 1)]
    code += load_constant("r4", planes.channels)
    if planes.group < GROUP:
        # Two predicate bits per lane of sixteen bits.
        code += [f"movw r3, #{(1 << 2 * planes.group) - 1}", "vmsr p0, r3"]
    code.append("1:")
    if whole:
        code += [
            f"mov lr, #{whole}",
            "dls lr, lr",
            "2:",
            *_pixels(planes, _PIXELS),
            "adds r1, #4",
            "le lr, 2b",
        ]
    code += _pixels(planes, rest) if rest else []
    code += add_constant("r1", planes.pitch - whole * _PIXELS)
    return [*code, "subs r2, r2, #1", "bne 1b", "vpop {d8-d11}", "pop {r4, pc}"]


def _pixels(planes: Planes, count: int) -> list[str]:
    """Move `count` pixels; the target pointer stays."""
    masked = planes.group < GROUP
    then = "t" if masked else ""
    code = []
    for pixel in range(count):
        data = f"q{4 + pixel % 2}"
        code += ["vpstt"] if masked else []
        if planes.channels <= BYTE_RANGE:
            code.append(f"vldrb{then}.u16 {data}, [r0], #{planes.channels}")
        else:
            code.append(f"vldrb{then}.u16 {data}, [r0]")
        code.append(f"vstrb{then}.16 {data}, [r1, q{pixel}]")
        code += ["add r0, r0, r4"] if planes.channels > BYTE_RANGE else []
    return code
