"""The packed tile of cores whose multiplication does not accumulate, and the packing of activations for it.

Two activations of a pixel share a 32-bit word, sixteen bits apart, so that a multiplication with two weights makes two
products and adds them; `rv32_packed` tells how. The words of eight pixels lie side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..kernel import Array, MicroKernel
from . import rv32_packed
from .rv32_assembly import Epilogue
from .rv32_packed import GROUP, LANES, PIXELS, RUN_BITS, STORED_LANES
from .scalar import NAKED, assembly_body, requantized_expr, shared_assembly
from .tensor_intrinsic import Operand, register

# Largest sum of magnitudes of weights whose products with any int8 fit sixteen bits together.
LARGEST_SUM = 255


def fits(weight: Array) -> bool:
    """Whether sixteen bits hold every pair of products; weight: int8[channels, depth]."""
    magnitudes = np.abs(weight.astype(np.int32)).reshape(len(weight), -1, 2).sum(axis=2)
    return bool((magnitudes <= LARGEST_SUM).all())


def runs_of(weight: Array) -> Array:
    """Which groups of four products sixteen bits hold, for two channels after the other; uint8[runs].

    weight: int8[channels, depth]. A run is a number of groups that they hold in both channels, in the lowest bits, and
    the number of those after them that they do not. Runs end with the reduction.
    """
    magnitudes = np.abs(weight.astype(np.int32)).reshape(len(weight) // LANES, LANES, -1, GROUP)
    together = (magnitudes.sum(axis=3) <= LARGEST_SUM).all(axis=1)
    longest = {True: (1 << RUN_BITS) - 1, False: (1 << (8 - RUN_BITS)) - 1}
    runs = []
    for groups in together.tolist():
        done = 0
        while done < len(groups):
            counts = []
            for kind in (True, False):
                first = done
                while done < len(groups) and groups[done] is kind and done - first < longest[kind]:
                    done += 1
                counts.append(done - first)
            runs.append(counts[0] | counts[1] << RUN_BITS)
    return np.array(runs, np.uint8)


def whole_groups(depth: int) -> int:
    """Elements of a reduction with what its last group lacks."""
    return -(-depth // GROUP) * GROUP


@dataclass(frozen=True)
class PackPairs:
    """Packs the activations of eight pixels, int8[8, depth], into words int32[pairs, 8]; whole groups, with zeros."""

    depth: int

    @property
    def name(self) -> str:
        """Name of the C function (data, words, depth), which is the same for all depths."""
        return f"tinyml_pack_pairs_{PIXELS}"

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        signature = f"static void {self.name}(const int8_t *data, int32_t *words, int32_t depth)\n"
        return MicroKernel(self.name, f"{NAKED}{signature}{assembly_body(rv32_packed.pack_pairs())}")

    def block(self, data: Any, words: Any, row: Any) -> None:
        """Emit what is packed, from `row` of the matrix `data` on, as a TensorIR block's contents."""
        T.reads(data[row : row + PIXELS, 0 : self.depth])
        T.writes(words[0 : self.pairs, 0:PIXELS])
        with T.grid(self.pairs, PIXELS) as (k, p), T.sblock("word"):
            vk, vp = T.axis.remap("SS", [k, p])
            low, high = (self._element(vk, half, data, row + vp) for half in range(2))
            T.buffer_store(words, low + T.shift_left(high, T.int32(16)), [vk, vp])

    def _element(self, pair: Any, half: int, data: Any, row: Any) -> Any:
        """One activation of a pair, or 0 after the last; the guard is stated where it can fail."""
        k = 2 * pair + half
        value = T.Cast("int32", data[row, k])
        inside = 2 * (self.pairs - 1) + half < self.depth
        return value if inside else tirx.if_then_else(k < self.depth, value, T.int32(0))

    @property
    def pairs(self) -> int:
        """Words of a pixel."""
        return whole_groups(self.depth) // 2

    def register(self) -> str:
        """Register the packing as a tensor intrinsic and return its name."""
        operands = {
            "data": Operand((PIXELS, self.depth), "int8", self.depth),
            "words": Operand((self.pairs, PIXELS), "int32", PIXELS, written=True),
        }
        return register(self.name, operands, lambda data, words: self.block(data, words, 0), [self.depth])


@dataclass(frozen=True)
class PackedOperands:
    """Where a tile finds its operands.

    words: int32[pairs, 8]; weight: int8[rows, 4] of `PackedTile`; runs: uint8[runs] (`runs_of`), which say nothing but
    how to add; factors: int32[channels, 2] and fine: [channels] of `requantize_scalar.ScalarRequantization`; output:
    int8[rows, channels]; sums: int32[8, channels]; row: first row of the output.
    """

    words: Any
    weight: Any
    runs: Any
    factors: Any
    fine: Any
    output: Any
    sums: Any
    row: Any = 0


@dataclass(frozen=True)
class PackedTile:
    """Outputs of eight pixels in the first channels, two channels at a time.

    blocks: of four channels. depth: products per output. output_pitch: elements from one pixel's outputs to the next.
    runs: how many of them.
    """

    blocks: int
    depth: int
    output_pitch: int
    runs: int
    epilogue: Epilogue

    @property
    def channels(self) -> int:
        """Columns of outputs."""
        return self.blocks * STORED_LANES

    @property
    def pairs(self) -> int:
        """Words of a pixel."""
        return whole_groups(self.depth) // 2

    @property
    def rows(self) -> int:
        """Rows of weights; a last group goes on into the next block, where it meets zeros among the activations."""
        return (self.blocks - 1) * self.depth + whole_groups(self.depth)

    @property
    def name(self) -> str:
        """Name of the C function, which is the same for products of all sizes."""
        return f"tinyml_packed_{PIXELS}x{LANES}_{self.epilogue.name}"

    def micro_kernel(self) -> MicroKernel:
        """The C function: (words, weight, runs, factors, fine, output, blocks, depth, output pitch, point)."""
        signature = (
            f"static void {self.name}(const int32_t *words, const int8_t *weight, const uint8_t *runs,\n"
            f"    const int32_t *factors, const {self.epilogue.fine_type}_t *fine, int8_t *output,\n"
            "    int32_t blocks, int32_t depth, int32_t output_pitch, int32_t point)\n"
        )
        _, outputs = rv32_packed.packed_tile(self)
        return MicroKernel(self.name, f"{NAKED}{signature}{assembly_body(outputs)}")

    def sums_kernel(self) -> MicroKernel:
        """What tiles of all epilogues call on RV32 for their sums; nothing elsewhere."""
        sums, _ = rv32_packed.packed_tile(self)
        return MicroKernel(rv32_packed.SUMS_NAME, shared_assembly(rv32_packed.SUMS_NAME, sums))

    def block(self, operands: PackedOperands) -> None:
        """Emit what the tile computes as a TensorIR block's contents, in its plain meaning."""
        o, row = operands, operands.row
        T.reads(
            o.words[0 : self.pairs, 0:PIXELS],
            o.weight[0 : self.rows, 0:STORED_LANES],
            o.runs[0 : self.runs],
            o.factors[0 : self.channels, 0:2],
            o.fine[0 : self.channels],
        )
        T.writes(o.output[row : row + PIXELS, 0 : self.channels], o.sums[0:PIXELS, 0 : self.channels])
        with T.grid(PIXELS, self.channels) as (i, j), T.sblock("bias"):
            vi, vj = T.axis.remap("SS", [i, j])
            T.buffer_store(o.sums, o.factors[vj, 0], [vi, vj])
        with (
            T.grid(self.blocks, PIXELS, STORED_LANES, self.pairs) as (b, i, j, k),
            T.sblock("accumulate"),
        ):
            vb, vi, vj, vk = T.axis.remap("SSSR", [b, i, j, k])
            word = o.words[vk, vi]
            low = T.Cast("int32", T.Cast("int16", word))
            high = T.shift_right(word - low, T.int32(16))
            first, second = (
                T.Cast("int32", o.weight[vb * self.depth + 2 * vk + half, vj]) for half in range(2)
            )
            column = vb * STORED_LANES + vj
            T.buffer_store(o.sums, o.sums[vi, column] + low * first + high * second, [vi, column])
        with T.grid(PIXELS, self.channels) as (i, j), T.sblock("requantize"):
            vi, vj = T.axis.remap("SS", [i, j])
            value = requantized_expr(o.sums[vi, vj], o.factors[vj, 1], o.fine[vj], self.epilogue)
            T.buffer_store(o.output, value, [row + vi, vj])

    def register(self) -> str:
        """Register the tile as a tensor intrinsic and return its name."""
        operands = {
            "words": Operand((self.pairs, PIXELS), "int32", PIXELS),
            "weight": Operand((self.rows, STORED_LANES), "int8", STORED_LANES),
            "runs": Operand((self.runs,), "uint8"),
            "factors": Operand((self.channels, 2), "int32", 2),
            "fine": Operand((self.channels,), self.epilogue.fine_type),
            "output": Operand((PIXELS, self.channels), "int8", self.output_pitch, written=True),
            "sums": Operand((PIXELS, self.channels), "int32", written=True, passed=False),
        }
        arguments = [self.blocks, self.depth, self.output_pitch, self.epilogue.point]
        return register(self.name, operands, lambda *buffers: self.block(PackedOperands(*buffers)), arguments)
