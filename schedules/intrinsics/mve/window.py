"""Averages and maxima of windows of NHWC pixels, finished in registers: up to four vectors of channels at once.

The size of a window is an argument, so that one function serves the parts of windows that a border leaves. Sums have
sixteen bits. An average is one high multiply of the sum, moved up as far as it fits, and one rounding shift; which
factors give the exact average of every sum is decided by trying all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ...kernel import MicroKernel
from .assembly import add_constant, function, load_constant

_MOST = 4
# push {r4-r8, lr} and vpush {d8-d11}.
_SAVED_BYTES = 56
# Factors within this distance of the real one are tried.
_SEARCH = 3


@dataclass(frozen=True)
class Average:
    """average = (high half of 2 * (sum << left) * factor) >> right, with two roundings; factors by count.

    ties: the high half is one less where it is negative, so that halves round away from zero.
    """

    left: int
    right: int
    ties: bool
    factors: tuple[tuple[int, int], ...]

    def factor(self, count: int) -> int:
        """The factor of windows of `count` elements."""
        return dict(self.factors)[count]


@cache
def average_of(counts: tuple[int, ...]) -> Average | None:
    """How to average windows of any of some numbers of int8 elements, halves away from zero; None if nothing is
    exact."""
    largest = 128 * max(counts)
    if largest > 1 << 15:
        return None
    left = next(bits for bits in range(15, -1, -1) if largest << bits <= 1 << 15)
    for right in range(15, 0, -1):
        real = {count: (1 << 15 - left + right) / count for count in counts}
        if max(real.values()) + _SEARCH >= 1 << 15:
            continue
        for ties in (False, True):
            found = {count: _exact_factor(count, left, right, round(real[count]), ties) for count in counts}
            if all(found.values()):
                factors = tuple((count, factor) for count, factor in found.items() if factor)
                return Average(left, right, ties, factors)
    return None


def _exact_factor(count: int, left: int, right: int, near: int, ties: bool) -> int | None:
    sums = np.arange(-128 * count, 127 * count + 1, dtype=np.int64)
    exact = np.sign(sums) * ((np.abs(sums) + count // 2) // count)
    for factor in range(near - _SEARCH, near + _SEARCH + 1):
        high = np.clip((2 * (sums << left) * factor + (1 << 15)) >> 16, -(1 << 15), (1 << 15) - 1)
        high = np.maximum(high - (ties & (high < 0)), -(1 << 15))
        if factor > 0 and np.array_equal((high + (1 << right - 1)) >> right, exact):
            return factor
    return None


@dataclass(frozen=True)
class Window:
    """A window of `channels` channels, at least one vector. average: None for the maximum."""

    channels: int
    average: Average | None
    clamp_min: int
    clamp_max: int

    @property
    def lanes(self) -> int:
        """Channels of one vector: sums have sixteen bits each."""
        return 8 if self.average else 16

    @property
    def block(self) -> int:
        """Vectors that are reduced at once."""
        return min(_MOST, self.channels // self.lanes)

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        kind = "maximum"
        if self.average:
            kind = f"average_{self.average.left}_{self.average.right}{'_ties' if self.average.ties else ''}"
        limits = f"{self.clamp_min}_{self.clamp_max}".replace("-", "n")
        return f"tinyml_mve_window_{kind}_of{self.channels}_{limits}"


def window_kernel(window: Window) -> MicroKernel:
    """Micro-kernel: all channels of one window; factor: of averages, 0 otherwise."""
    parameters = (
        "const int8_t *data",
        "int8_t *output",
        "int32_t rows",
        "int32_t columns",
        "int32_t row_bytes",
    )
    return function(window.name, (*parameters, "int32_t factor"), _code(window))


def window_instructions(window: Window, rows: int, columns: int) -> float:
    """Instructions of one call, the call included."""
    blocks = -(-window.channels // (window.block * window.lanes))
    pixel = 2 * window.block + 2
    finish = len(_finish(window)) + window.block + 9
    return 38 + blocks * (rows * (columns * pixel + 5) + finish)


def _code(window: Window) -> list[str]:
    size = window.block * window.lanes
    whole, rest = divmod(window.channels, size)
    load, combine = ("vldrb.s16", "vadd.i16") if window.average else ("vldrb.u8", "vmax.s8")
    start = "vmov.i32 q{0}, #0" if window.average else "vmov.i8 q{0}, #128"
    code = ["push {r4-r8, lr}", "vpush {d8-d11}", f"ldrd r5, r7, [sp, #{_SAVED_BYTES}]"]
    code += [*load_constant("r4", window.channels), "mls r5, r3, r4, r5", f"movs r4, #{whole}"]
    # r5: from the end of a window's row to the next one.
    code += ["1:", "mov r6, r0", "mov r8, r2", *(start.format(vector) for vector in range(window.block))]
    code += ["2:", "dls lr, r3", "3:"]
    for vector in range(window.block):
        data = f"q{4 + vector % 2}"
        code += [f"{load} {data}, [r6, #{vector * window.lanes}]", f"{combine} q{vector}, q{vector}, {data}"]
    code += [*add_constant("r6", window.channels), "le lr, 3b", "add r6, r6, r5", "subs r8, r8, #1", "bne 2b"]
    code += [*_finish(window), *add_constant("r0", size), *add_constant("r1", size)]
    code += ["subs r4, r4, #1", "bgt 1b"]
    if rest:
        # Zero after the whole blocks: step back once for the rest.
        back = [*add_constant("r0", rest - size), *add_constant("r1", rest - size)]
        code += ["blt 4f", *back, "b 1b", "4:"]
    return [*code, "vpop {d8-d11}", "pop {r4-r8, pc}"]


def _finish(window: Window) -> list[str]:
    """Outputs of a block from its sums or maxima."""
    vectors = [f"q{vector}" for vector in range(window.block)]
    kind = "16" if window.average else "8"
    code: list[str] = []
    if window.average:
        code += [f"vshl.i16 {x}, {x}, #{window.average.left}" for x in vectors if window.average.left]
        code += [f"vqrdmulh.s16 {x}, {x}, r7" for x in vectors]
        if window.average.ties:
            # The high half of twice the value adds its sign: -1 or 0.
            code += ["movs r6, #1", *(f"vqdmlah.s16 {x}, {x}, r6" for x in vectors)]
        code += [f"vrshr.s16 {x}, {x}, #{window.average.right}" for x in vectors]
    for operation, limit, natural, free in (
        ("vmax", window.clamp_min, -128, "q4"),
        ("vmin", window.clamp_max, 127, "q5"),
    ):
        if limit != natural:
            code += [f"mov r6, #{limit}", f"vdup.{kind} {free}, r6"]
            code += [f"{operation}.s{kind} {x}, {x}, {free}" for x in vectors]
    if window.average:
        return [*code, *(f"vstrb.16 {x}, [r1, #{8 * index}]" for index, x in enumerate(vectors))]
    return [*code, *(f"vstrb.8 {x}, [r1, #{16 * index}]" for index, x in enumerate(vectors))]
