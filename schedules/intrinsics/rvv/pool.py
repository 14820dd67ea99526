"""Windows reduced to one pixel, all channels of it: maximum, average, and a sum that is scaled.

Sums of a row of the window are taken in 16 bits, then added to those of 32. All sizes are run-time arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tvm.script.ir_builder import tirx as T  # noqa: N812
from tvm.sym import Analyzer

from ...kernel import MicroKernel
from ..description import nest, register
from .assembly import Assembly
from .epilogue import Epilogue

# Sums of so many int8 values fit 16 bits.
MAX_COLUMNS = 256
# Lanes at VLEN = 128: int32 in eight registers, and int8.
_SUMS, _BYTES = 32, 128


@dataclass(frozen=True)
class Scale:
    """What a sum is multiplied by, 2**(-31 - right) * multiplier, after `offset` was added; with its zero point."""

    offset: int
    multiplier: int
    right: int
    zero_point: int


@dataclass(frozen=True)
class PoolTile:
    """A window of rows and columns of pixels with `channels` bytes each.

    kind: "max", "average" (of as many elements as a buffer says, rounded away from zero) or "mean" (with a `scale`).
    low, high: limits of the result.
    """

    kind: Literal["max", "average", "mean"]
    rows: int
    columns: int
    channels: int
    low: int = -128
    high: int = 127
    scale: Scale | None = None

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        return f"rvv_pool_{self.kind}"

    def block(self, data: Any, count: Any, reduced: Any, output: Any, at: Any, pixel: Any) -> None:
        """Emit the tile as a TensorIR block in its plain meaning.

        data int8[rows, bytes]; count int32[1, 1], elements of the average; reduced int32[1, channels]; output
        int8[pixels, channels]; at: row and byte where the window begins; pixel: row of the output.
        """
        (y, x), channels = at, self.channels
        T.reads(
            data[y : y + self.rows, x : x + self.columns * channels],
            *([count[0:1, 0:1]] if self.kind == "average" else []),
        )
        T.writes(reduced[0:1, 0:channels], output[pixel, 0:channels])
        first = -128 if self.kind == "max" else self.scale.offset if self.scale else 0
        with nest("start", (channels,)) as (c,):
            T.buffer_store(reduced, T.int32(first), [0, c])
        with nest("reduce", (channels,), (self.rows, self.columns)) as (c, r, k):
            element = T.Cast("int32", data[y + r, x + k * channels + c])
            value = T.max(reduced[0, c], element) if self.kind == "max" else reduced[0, c] + element
            T.buffer_store(reduced, value, [0, c])
        with nest("finish", (channels,)) as (c,):
            T.buffer_store(output, self._describe(reduced[0, c], count), [pixel, c])

    def _describe(self, value: Any, count: Any) -> Any:
        """TensorIR expression of an output."""
        if self.scale is not None:
            return Analyzer().simplify(
                self._epilogue.describe(value, self.scale.multiplier, T.int32(self.scale.right))
            )
        if self.kind == "average":
            half = T.floordiv(count[0, 0], 2)
            rounded = T.if_then_else(T.int32(0) < value, half + value, value - half)
            value = T.truncdiv(rounded, count[0, 0])
        return T.Cast("int8", T.max(T.min(value, self.high), self.low))

    @property
    def _epilogue(self) -> Epilogue:
        zero_point = self.scale.zero_point if self.scale else 0
        return Epilogue("double", True, zero_point, self.low, self.high)

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        numbers = [self.rows, self.columns, self.channels, *self._constants]
        operands: dict[str, tuple[tuple[int, int], str]] = {
            "data": ((self.rows, self.columns * self.channels), "int8"),
            "reduced": ((1, self.channels), "int32"),
            "output": ((1, self.channels), "int8"),
        }
        if self.kind == "average":
            operands = {"data": operands.pop("data"), "count": ((1, 1), "int32"), **operands}
        return register(
            "_".join([self.name, *map(str, numbers)]).replace("-", "m"),
            operands,
            lambda data, *others: self.block(data, others[0], others[-2], others[-1], (0, 0), 0),
            self._arguments,
            kernel=self.name,
            written=2,
        )

    @property
    def _constants(self) -> list[int]:
        """Arguments behind those of the geometry."""
        if self.scale is None:
            return [self.low, self.high]
        return [self.scale.offset, self.scale.multiplier, self.scale.right, self.scale.zero_point]

    def _arguments(self, data: Any, *others: Any) -> Sequence[Any]:
        sizes = [self.channels, data.strides[0], self.rows, self.columns]
        counts = [others[0].access_ptr("r")] if self.kind == "average" else []
        return [data.access_ptr("r"), others[-1].access_ptr("w"), *sizes, *self._constants, *counts]

    def assemble(self) -> Assembly:
        """Code of the tile.

        a0 data, a1 output, a2 channels, a3 distance of the rows, a4 rows, a5 columns; maximum and average: a6 and a7
        the limits, on the stack where the count lies; mean: a6 the offset, a7 the multiplier, on the stack shift and
        zero point. t0 lanes, t1 and t3 walk over rows and columns, t6 distance of the columns.
        """
        asm = Assembly()
        asm.emit("csrwi vxrm, 0", "mv t6, a2")
        lanes = _BYTES if self.kind == "max" else _SUMS
        with asm.strips("a2", -(-self.channels // lanes)):
            if self.kind == "max":
                self._maximum(asm)
            else:
                self._sum(asm)
                self._finish(asm)
            asm.emit("add a0, a0, t0", "add a1, a1, t0", "sub a2, a2, t0")
        return asm

    def _maximum(self, asm: Assembly) -> None:
        asm.emit("vsetvli t0, a2, e8, m8, ta, ma")
        # Nothing is below the lower limit, whatever is found.
        asm.emit("vmv.v.x v8, a6", group=8)
        asm.emit("mv t1, a0", "mv t2, a4")
        with asm.strips("t2", self.rows):
            asm.emit("mv t3, t1", "mv t4, a5")
            with asm.strips("t4", self.columns):
                asm.emit("vle8.v v16, (t3)", "vmax.vv v8, v8, v16", group=8)
                asm.emit("add t3, t3, t6", "addi t4, t4, -1")
            asm.emit("add t1, t1, a3", "addi t2, t2, -1")
        asm.emit("vmin.vx v8, v8, a7", "vse8.v v8, (a1)", group=8)

    def _sum(self, asm: Assembly) -> None:
        """Sums in v8, with the vector unit set for them."""
        asm.emit("vsetvli t0, a2, e32, m8, ta, ma")
        asm.emit(f"vmv.v.x v8, {'a6' if self.kind == 'mean' else 'zero'}", group=8)
        asm.emit("mv t1, a0", "mv t2, a4")
        with asm.strips("t2", self.rows):
            asm.emit("vsetvli zero, t0, e16, m4, ta, ma", "vmv.v.i v16, 0", group=4)
            asm.emit("vsetvli zero, t0, e8, m2, ta, ma", "mv t3, t1", "mv t4, a5")
            with asm.strips("t4", self.columns):
                asm.emit("vle8.v v20, (t3)", "vwadd.wv v16, v16, v20", group=4)
                asm.emit("add t3, t3, t6", "addi t4, t4, -1")
            asm.emit("vsetvli zero, t0, e16, m4, ta, ma")
            asm.emit("vwadd.wv v8, v8, v16", group=8)
            asm.emit("add t1, t1, a3", "addi t2, t2, -1")
        asm.emit("vsetvli zero, t0, e32, m8, ta, mu")

    def _finish(self, asm: Assembly) -> None:
        """Divide or scale, narrow and store."""
        if self.kind == "average":
            asm.emit("lw t1, 0(sp)", "lw t1, 0(t1)", "srli t2, t1, 1", "slli t3, t2, 1", "neg t3, t3")
            # Half of the count is added, or subtracted where the sum is negative.
            asm.emit("vmslt.vx v0, v8, zero", "vadd.vx v8, v8, t2", "vadd.vx v8, v8, t3, v0.t", group=8)
            asm.emit("vdiv.vx v8, v8, t1", group=8)
        else:
            # The lanes lie in t0, which `scale` may take.
            asm.emit("mv t2, t0", "lw t1, 0(sp)")
            self._epilogue.scale(asm, "v8", "a7", "v24", 8)
            asm.emit("vssra.vx v8, v8, t1", group=8)
            asm.emit("mv t0, t2")
        asm.emit("vsetvli zero, t0, e16, m4, ta, ma")
        asm.emit("vnclip.wi v16, v8, 0", group=8)
        if self.kind == "mean":
            asm.emit("lw t1, 4(sp)", "vsadd.vx v16, v16, t1", group=4)
        asm.emit("vsetvli zero, t0, e8, m2, ta, ma")
        asm.emit("vnclip.wi v20, v16, 0", group=4)
        if self.kind == "average":
            asm.emit("vmax.vx v20, v20, a6", "vmin.vx v20, v20, a7", group=2)
        asm.emit("vse8.v v20, (a1)", group=2)

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        sizes = ("channels", "row_pitch", "rows", "columns")
        constants = ("low", "high") if self.scale is None else ("offset", "multiplier", "right", "zero_point")
        parameters = [
            "const int8_t *data",
            "int8_t *output",
            *(f"int32_t {name}" for name in sizes + constants),
        ]
        if self.kind == "average":
            parameters.append("const int32_t *count")
        return self.assemble().micro_kernel(self.name, parameters)
