"""Channel planes: some rows of NHWC activations scattered so that each channel becomes an image of its own.

A load of eight channels is spread over eight planes by one scatter store; four offset vectors serve four neighbouring
pixels, so that the pointers move once for all of them. One function serves all sizes: a block of words behind a few
instructions that hand its address over in r12 holds them. Functions with sizes of their own take less instructions.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...kernel import MicroKernel
from .assembly import BYTE_RANGE, add_constant, data, function, load_constant, shared_function

# Channels of one load.
GROUP = 8
_PIXELS = 4
_PARAMETERS = ("const int8_t *source", "int8_t *target", "int32_t rows")


@dataclass(frozen=True)
class Planes:
    """Geometry of planes.

    group: channels, at most GROUP. width: pixels of an input row. channels: bytes from one pixel to the next.
    pitch: bytes from one row of a plane to the next. size: bytes of a plane. shared: by the function of all sizes.
    """

    group: int
    width: int
    channels: int
    pitch: int
    size: int
    shared: bool

    @property
    def name(self) -> str:
        """Name of the micro-kernel that fills them."""
        shape = f"{self.group}x{self.size}_of{self.width}_every{self.channels}_row{self.pitch}"
        return f"tinyml_mve_planes_{shape}{'_shared' if self.shared else ''}"


def planes_kernels(planes: Planes) -> tuple[MicroKernel, ...]:
    """Scatter `rows` rows of `source` into planes, both pointers at the first pixel to move; what it shares first."""
    if not planes.shared:
        return (function(planes.name, _PARAMETERS, _code(planes)),)
    shared = f"tinyml_mve_planes{'_few' if planes.group < GROUP else ''}"
    words = (
        planes.channels,
        planes.size,
        *divmod(planes.width, _PIXELS),
        planes.pitch - planes.width,
        _mask(planes),
    )
    code = ["adr.w r12, 8f", f"b.w {shared}", ".balign 4", "8:", *data(words, 4)]
    return (
        shared_function(shared, _PARAMETERS, _shared_code(planes)),
        function(planes.name, _PARAMETERS, code),
    )


def planes_instructions(planes: Planes, rows: int) -> float:
    """Instructions of one call, the call included."""
    whole, rest = divmod(planes.width, _PIXELS)
    if planes.shared:
        masks = (_PIXELS * whole + rest) if planes.group < GROUP else 0
        return 50 + rows * (5 + 12 * whole + 5 * rest + masks)
    block = len(_pixels(planes, _PIXELS)) + 2
    loop = 2 if whole > 1 else 0
    return 40 + rows * (2 + loop + whole * block + (len(_pixels(planes, rest)) if rest else 0))


def _code(planes: Planes) -> list[str]:
    whole, rest = divmod(planes.width, _PIXELS)
    code = ["push {r4, lr}", "vpush {d8-d11}", "movs r4, #0", "vidup.u16 q0, r4, #1"]
    code += [*load_constant("r3", planes.size), "vmul.i16 q0, q0, r3", "movs r3, #1"]
    code += [f"vadd.i16 q{pixel + 1}, q{pixel}, r3" for pixel in range(_PIXELS - 1)]
    code += load_constant("r4", planes.channels)
    if planes.group < GROUP:
        code += [f"movw r3, #{_mask(planes)}", "vmsr p0, r3"]
    code.append("1:")
    block = [*_pixels(planes, _PIXELS), "adds r1, #4"]
    if whole > 1:
        code += [f"mov lr, #{whole}", "dls lr, lr", "2:", *block, "le lr, 2b"]
    else:
        code += block * whole
    code += _pixels(planes, rest) if rest else []
    code += add_constant("r1", planes.pitch - whole * _PIXELS)
    return [*code, "subs r2, r2, #1", "bne 1b", "vpop {d8-d11}", "pop {r4, pc}"]


def _mask(planes: Planes) -> int:
    """Predicate of the channels of a group: two bits per lane of sixteen bits."""
    return (1 << 2 * planes.group) - 1


def _shared_code(planes: Planes) -> list[str]:
    then = "t" if planes.group < GROUP else ""

    def move(data: str, source: str, target: str) -> list[str]:
        code = [f"vldrb{then}.u16 {data}, [r0, {source}]", f"vstrb{then}.16 {data}, [r1, {target}]"]
        return [*(["vpstt"] if then else []), *code]

    code = ["push {r4-r8, lr}", "vpush {d8-d15}", "ldm r12, {r4, r5, r6, r7, r8, r12}", "mov lr, #0"]
    # Lanes of the target: planes, of four pixels; lanes of the source: channels, of two.
    code += ["vidup.u16 q4, lr, #1", "vmul.i16 q0, q4, r5", "vadd.i16 q5, q4, r4", "movs r3, #1"]
    code += [f"vadd.i16 q{pixel + 1}, q{pixel}, r3" for pixel in range(_PIXELS - 1)]
    code += ["vmsr p0, r12", "1:", "wls lr, r6, 3f", "2:"]
    for pixel in range(0, _PIXELS, 2):
        code += [*move("q6", "q4", f"q{pixel}"), *move("q7", "q5", f"q{pixel + 1}"), "add r0, r0, r4, lsl #1"]
    code += [
        "adds r1, #4",
        "le lr, 2b",
        "3:",
        "wls lr, r7, 5f",
        "4:",
        *move("q6", "q4", "q0"),
        "add r0, r0, r4",
    ]
    code += ["adds r1, #1", "le lr, 4b", "5:", "add r1, r1, r8", "subs r2, r2, #1", "bne 1b"]
    return [*code, "vpop {d8-d15}", "pop {r4-r8, pc}"]


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
