"""Sums of sixteen bits of a window of NHWC pixels, channel by channel.

Up to four vectors of neighbouring channels are reduced at once, so that the pointer moves once for all of them. The
last block of channels overlaps the one before.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...kernel import MicroKernel
from .assembly import add_constant, function

_MOST = 4
_LANES = 8


@dataclass(frozen=True)
class Pool:
    """Shape of a window. rows, columns: pixels; row_bytes: from one row to the next; channels: of a pixel, at least
    one vector."""

    rows: int
    columns: int
    row_bytes: int
    channels: int

    @property
    def block(self) -> int:
        """Vectors that are reduced at once."""
        return min(_MOST, self.channels // _LANES)

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        return f"tinyml_mve_sum_{self.rows}x{self.columns}_of{self.channels}_row{self.row_bytes}"


def pool_kernel(pool: Pool) -> MicroKernel:
    """Micro-kernel: the sums of all channels of one window."""
    return function(pool.name, ("const int8_t *data", "int16_t *output"), _code(pool))


def pool_instructions(pool: Pool) -> float:
    """Instructions of one call, the call included."""
    blocks = -(-pool.channels // (pool.block * _LANES))
    pixel = 2 * pool.block + 2
    return 25 + blocks * (pool.rows * (pool.columns * pixel + 5) + 2 * pool.block + 12)


def _code(pool: Pool) -> list[str]:
    size = pool.block * _LANES
    whole, rest = divmod(pool.channels, size)
    code = [
        "push {r4, lr}",
        "vpush {d8-d11}",
        f"movs r4, #{whole}",
        "1:",
        "mov r2, r0",
        f"movw r3, #{pool.rows}",
    ]
    code += [f"vmov.i32 q{vector}, #0" for vector in range(pool.block)]
    code += ["2:", f"movw lr, #{pool.columns}", "dls lr, lr", "3:"]
    for vector in range(pool.block):
        data = f"q{4 + vector % 2}"
        code += [f"vldrb.s16 {data}, [r2, #{vector * _LANES}]", f"vadd.i16 q{vector}, q{vector}, {data}"]
    code += [*add_constant("r2", pool.channels), "le lr, 3b"]
    code += add_constant("r2", pool.row_bytes - pool.columns * pool.channels)
    code += ["subs r3, r3, #1", "bne 2b"]
    code += [f"vstrh.16 q{vector}, [r1, #{2 * vector * _LANES}]" for vector in range(pool.block)]
    code += [*add_constant("r0", size), *add_constant("r1", 2 * size), "subs r4, r4, #1", "bgt 1b"]
    if rest:
        # Zero after the whole blocks: step back once for the rest.
        code += [
            "blt 4f",
            *add_constant("r0", rest - size),
            *add_constant("r1", 2 * (rest - size)),
            "b 1b",
            "4:",
        ]
    return [*code, "vpop {d8-d11}", "pop {r4, pc}"]
