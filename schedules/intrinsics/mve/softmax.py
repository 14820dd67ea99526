"""Softmax of one row in two kernels on Arm MVE: maximum and sum of exponentials, then each of them times a factor.

Exponentials come from a table by the difference to the maximum, four at a time by a gather. VQRDMULH is gemmlowp's
doubling high multiply and VRSHL its rounding shift, as what is shifted is never negative. Loops predicate the tails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from tvm_tinyml.dialect.softmax import SUM_INTEGER_BITS

from ..description import nest, register
from ..softmax_tiles import summed
from .assembly import function

# Elements of a vector of bytes and of words.
_BYTES, _WORDS = 16, 4
_MAXIMUM = ["vldrb.u8 q0, [r12], #16", "vmaxv.s8 r6, q0", "letp lr, 1b"]
# r0 data, r1 table, r5 exponentials, r6 the maximum, q2 the last entry.
_SUM = [
    "vldrb.s32 q0, [r0], #4",
    "vsub.i32 q0, q0, r6",
    "vabs.s32 q0, q0",
    "vmin.u32 q0, q0, q2",
    "vldrw.u32 q1, [r1, q0, uxtw #2]",
    "vstrw.32 q1, [r5], #16",
    f"vrshr.s32 q1, q1, #{SUM_INTEGER_BITS}",
    "vaddva.s32 r12, q1",
    "letp lr, 2b",
]
_SUM_KERNEL = function(
    "tinyml_mve_softmax_sum",
    (
        "const int8_t *data",
        "const int32_t *table",
        "int32_t *exponentials",
        "int32_t *total",
        "int32_t depth",
        "int32_t last",
    ),
    [
        "push {r4-r6, lr}",
        "ldrd r4, r5, [sp, #16]",
        "vdup.32 q2, r5",
        "mov r5, r2",
        "mvn r6, #127",
        "mov r12, r0",
        "dlstp.8 lr, r4",
        "1:",
        *_MAXIMUM,
        "movs r2, #0",
        "mov r12, r2",
        "dlstp.32 lr, r4",
        "2:",
        *_SUM,
        "str r12, [r3]",
        "pop {r4-r6, pc}",
    ],
)
# r0 exponentials, r2 output, r4 the factor, r5 the shift's negative, r12 128, q3 127.
_SCALE = [
    "vldrw.u32 q0, [r0], #16",
    "vqrdmulh.s32 q0, q0, r4",
    "vrshl.s32 q0, r5",
    "vsub.i32 q0, q0, r12",
    "vmin.s32 q0, q0, q3",
    "vstrb.32 q0, [r2], #4",
    "letp lr, 1b",
]
SCALE_KERNEL = function(
    "tinyml_mve_softmax_scale",
    ("const int32_t *exponentials", "const int32_t *factor", "int8_t *output", "int32_t depth"),
    [
        "push {r4, r5, r7, lr}",
        "ldrd r4, r5, [r1]",
        "rsb r5, r5, #0",
        "vmov.i32 q3, #127",
        "mov r12, #128",
        "dlstp.32 lr, r3",
        "1:",
        *_SCALE,
        "pop {r4, r5, r7, pc}",
    ],
)
# Instructions outside of loops, the calls' arguments included.
_FIXED = 45.0


def row_instructions(depth: int) -> float:
    """Instructions of both kernels for one row."""
    words = -(-depth // _WORDS)
    return _FIXED + -(-depth // _BYTES) * len(_MAXIMUM) + words * (len(_SUM) + len(_SCALE))


@dataclass(frozen=True)
class SoftmaxSum:
    """The exponentials of `depth` elements' differences to their maximum by a table, and the sum of them.

    entries: of the table; the last one stands for all larger differences.
    """

    depth: int
    entries: int

    kernel = _SUM_KERNEL

    def block(self, data: Any, table: Any, maximum: Any, total: Any, exponentials: Any, row: Any) -> None:
        """Emit the tile as a TensorIR block for row `row` of data.

        table int32[1, entries] in Q0.31; maximum and total int32[1, 1]; exponentials int32[1, depth].
        """
        depth, entries = self.depth, self.entries
        T.reads(data[row, 0:depth], table[0:1, 0:entries])
        T.writes(maximum[0:1, 0:1], total[0:1, 0:1], exponentials[0:1, 0:depth])
        with summed(data, maximum, total, exponentials, row):
            with nest("empty", (depth,)) as (k,):
                T.buffer_store(exponentials, 0, [0, k])
            # An index that depends on data could not be compared, so every entry is added that belongs to the element.
            with nest("exponential", (depth,), (entries,)) as (k, t):
                difference = maximum[0, 0] - T.Cast("int32", data[row, k])
                entry = T.if_then_else(T.min(difference, entries - 1) == t, table[0, t], 0)
                T.buffer_store(exponentials, exponentials[0, k] + entry, [0, k])

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        one, row = ((1, 1), "int32"), (1, self.depth)
        return register(
            f"{self.kernel.name}_{self.depth}_{self.entries}",
            {
                "data": (row, "int8"),
                "table": ((1, self.entries), "int32"),
                "maximum": one,
                "total": one,
                "exponentials": (row, "int32"),
            },
            lambda data, table, maximum, total, exponentials: self.block(
                data, table, maximum, total, exponentials, 0
            ),
            lambda data, table, _maximum, total, exponentials: [
                data.access_ptr("r"),
                table.access_ptr("r"),
                exponentials.access_ptr("w"),
                total.access_ptr("w"),
                self.depth,
                self.entries - 1,
            ],
            kernel=self.kernel.name,
            written=3,
        )
