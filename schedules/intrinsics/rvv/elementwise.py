"""Elements of two rows combined: on a line, as a product, requantised, and the smaller or larger of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812
from tvm.sym import Analyzer

from ...kernel import MicroKernel
from ..description import nest, register
from .assembly import Assembly
from .epilogue import Epilogue

# Lanes at VLEN = 128: int32 in eight registers, and int8.
_PRODUCTS, _BYTES = 32, 128


@dataclass(frozen=True)
class ExtremeTile:
    """The larger (or smaller) of `elements` pairs of int8."""

    elements: int
    larger: bool

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        return f"rvv_{'maximum' if self.larger else 'minimum'}"

    def block(self, a: Any, b: Any, output: Any, rows: tuple[Any, Any, Any] = (0, 0, 0)) -> None:
        """Emit the tile as a TensorIR block in its plain meaning; rows: of each buffer."""
        _element_block(
            self.elements, (a, b, output), rows, lambda x, y: T.max(x, y) if self.larger else T.min(x, y)
        )

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        return _register(self, [self.elements])

    def assemble(self) -> Assembly:
        """Code of the tile: a0 and a1 the operands, a2 output, a3 counts elements."""
        asm = Assembly()
        with asm.strips("a3", -(-self.elements // _BYTES)):
            asm.emit("vsetvli t0, a3, e8, m8, ta, ma")
            asm.emit("vle8.v v0, (a0)", "vle8.v v8, (a1)", group=8)
            asm.emit(f"{'vmax' if self.larger else 'vmin'}.vv v0, v0, v8", "vse8.v v0, (a2)", group=8)
            asm.emit("add a0, a0, t0", "add a1, a1, t0", "add a2, a2, t0", "sub a3, a3, t0")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return self.assemble().micro_kernel(self.name, _parameters("elements"))


@dataclass(frozen=True)
class ProductTile:
    """`elements` products of int8 operands less their zero points, scaled by multiplier * 2**(-31 - right)."""

    elements: int
    a_zero_point: int
    b_zero_point: int
    multiplier: int
    right: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the micro-kernel: everything its code depends on."""
        return f"rvv_product_{self.epilogue.code}"

    def block(self, a: Any, b: Any, output: Any, rows: tuple[Any, Any, Any] = (0, 0, 0)) -> None:
        """Emit the tile as a TensorIR block in its plain meaning; rows: of each buffer."""

        def element(x: Any, y: Any) -> Any:
            product = (T.Cast("int32", x) - self.a_zero_point) * (T.Cast("int32", y) - self.b_zero_point)
            return self.epilogue.describe(product, self.multiplier, T.int32(self.right))

        _element_block(self.elements, (a, b, output), rows, lambda x, y: Analyzer().simplify(element(x, y)))

    @property
    def _constants(self) -> list[int]:
        zero_points = [self.a_zero_point, self.b_zero_point, self.epilogue.zero_point]
        return [self.elements, *zero_points, self.multiplier, self.right]

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        return _register(self, self._constants)

    def assemble(self) -> Assembly:
        """Code of the tile.

        a0 and a1 the operands, a2 output, a3 counts elements, a4 to a6 the zero points of operands and output, a7 the
        multiplier; on the stack the shift.
        """
        asm = Assembly()
        asm.emit("csrwi vxrm, 0", "lw t3, 0(sp)")
        with asm.strips("a3", -(-self.elements // _PRODUCTS)):
            # `scale` needs t0, so the vector length lies in t2.
            asm.emit("vsetvli t2, a3, e16, m4, ta, ma")
            asm.emit("vle8.v v0, (a0)", "vle8.v v2, (a1)", group=2)
            asm.emit("vsext.vf2 v16, v0", "vsext.vf2 v20, v2", group=4)
            asm.emit("vsub.vx v16, v16, a4", "vsub.vx v20, v20, a5", group=4)
            asm.emit("vwmul.vv v8, v16, v20", group=8)
            asm.emit("vsetvli zero, t2, e32, m8, ta, ma")
            self.epilogue.scale(asm, "v8", "a7", "v24", 8)
            asm.emit("vssra.vx v8, v8, t3", group=8)
            self.epilogue.store_strip(asm, "a6")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        zero_points = ("a_zero_point", "b_zero_point", "zero_point")
        return self.assemble().micro_kernel(
            self.name, _parameters("elements", *zero_points, "multiplier", "right")
        )


@dataclass(frozen=True)
class LinearTile:
    """`elements` sums clamp((a * factor_a + b * factor_b + addend) >> shift, low, high) of int8."""

    elements: int
    factor_a: int
    factor_b: int
    addend: int
    shift: int
    low: int
    high: int

    name = "rvv_linear"

    def block(self, a: Any, b: Any, output: Any, rows: tuple[Any, Any, Any] = (0, 0, 0)) -> None:
        """Emit the tile as a TensorIR block in its plain meaning; rows: of each buffer."""

        def element(x: Any, y: Any) -> Any:
            total = T.Cast("int32", x) * self.factor_a + T.Cast("int32", y) * self.factor_b + self.addend
            shifted = T.shift_right(total, self.shift)
            return Analyzer().simplify(T.Cast("int8", T.max(T.min(shifted, self.high), self.low)))

        _element_block(self.elements, (a, b, output), rows, element)

    @property
    def _constants(self) -> list[int]:
        factors = [self.factor_a, self.factor_b, self.addend, self.shift]
        return [self.elements, *factors, self.low, self.high]

    def register(self) -> str:
        """Register the tile as a TensorIntrin and return its name."""
        return _register(self, self._constants)

    def assemble(self) -> Assembly:
        """Code of the tile.

        a0 and a1 the operands, a2 output, a3 counts elements, a4 and a5 the factors, a6 addend, a7 shift; on the stack
        the limits.
        """
        asm = Assembly()
        asm.emit("csrwi vxrm, 0", "lw t1, 0(sp)", "lw t2, 4(sp)")
        with asm.strips("a3", -(-self.elements // _PRODUCTS)):
            asm.emit("vsetvli t0, a3, e32, m8, ta, ma")
            asm.emit("vle8.v v0, (a0)", "vle8.v v2, (a1)", group=2)
            asm.emit("vsext.vf4 v8, v0", "vsext.vf4 v16, v2", group=8)
            asm.emit("vmul.vx v8, v8, a4", "vmacc.vx v8, a5, v16", group=8)
            asm.emit("vadd.vx v8, v8, a6", "vsra.vx v8, v8, a7", group=8)
            asm.emit("vsetvli zero, t0, e16, m4, ta, ma")
            asm.emit("vnclip.wi v16, v8, 0", group=8)
            asm.emit("vsetvli zero, t0, e8, m2, ta, ma")
            asm.emit("vnclip.wi v0, v16, 0", group=4)
            asm.emit("vmax.vx v0, v0, t1", "vmin.vx v0, v0, t2", "vse8.v v0, (a2)", group=2)
            asm.emit("add a0, a0, t0", "add a1, a1, t0", "add a2, a2, t0", "sub a3, a3, t0")
        return asm

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        numbers = ("elements", "factor_a", "factor_b", "addend", "shift", "low", "high")
        return self.assemble().micro_kernel(self.name, _parameters(*numbers))


def _element_block(
    elements: int, buffers: tuple[Any, Any, Any], rows: tuple[Any, Any, Any], combine: Callable[..., Any]
) -> None:
    (a, b, output), (first, second, row) = buffers, rows
    T.reads(a[first, 0:elements], b[second, 0:elements])
    T.writes(output[row, 0:elements])
    with nest("combine", (elements,)) as (i,):
        T.buffer_store(output, combine(a[first, i], b[second, i]), [row, i])


def _register(tile: ExtremeTile | ProductTile | LinearTile, constants: list[int]) -> str:
    row = ((1, tile.elements), "int8")
    return register(
        "_".join([tile.name, *map(str, constants)]).replace("-", "m"),
        {"a": row, "b": row, "output": row},
        tile.block,
        lambda a, b, output: [a.access_ptr("r"), b.access_ptr("r"), output.access_ptr("w"), *constants],
        kernel=tile.name,
        written=1,
    )


def _parameters(*numbers: str) -> list[str]:
    return ["const int8_t *a", "const int8_t *b", "int8_t *output", *(f"int32_t {name}" for name in numbers)]
