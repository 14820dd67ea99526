"""Requantisation of int32 accumulators to int8 in RVV registers, exact for every rounding of the dialect.

With vxrm = rnu, `vsmul` is the doubling high multiply and `vssra` the right shift with ties up. Ties away from zero
need the sign: rounding twice subtracts one from negative products before the shift; rounding once does so only when
the low word of the product is zero, because otherwise there is no tie. Below the zero point signs do not matter: layers
that clamp there (ReLU) skip the correction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import Array
from .assembly import Assembly

# -128 * -128
LARGEST_PRODUCT = 2**14


@dataclass(frozen=True)
class Epilogue:
    """How one layer turns accumulators into outputs; equal epilogues are equal code.

    rounding: "double", "single" or "away", as in the dialect.
    correct_ties: whether negative ties have to be told from positive ones.
    """

    rounding: str
    correct_ties: bool
    zero_point: int
    clamp_min: int
    clamp_max: int

    @property
    def suffix(self) -> str:
        """Part of a kernel's name."""
        limits = "_".join(str(v).replace("-", "m") for v in (self.zero_point, self.clamp_min, self.clamp_max))
        return f"{self.rounding}{'_ties' if self.correct_ties else ''}_{limits}"

    @property
    def code(self) -> str:
        """The same for a kernel that takes the zero point as an argument."""
        limits = "_".join(str(v).replace("-", "m") for v in (self.clamp_min, self.clamp_max))
        return f"{self.rounding}{'_ties' if self.correct_ties else ''}_{limits}"

    def describe(self, accumulator: Any, multiplier: Any, right_shift: Any) -> Any:
        """TensorIR expression of the int8 output."""
        # In the form that TVM's simplifier leaves as it is, as it simplifies descriptions before it matches them.
        shift = right_shift * -1 if self.rounding == "double" else T.int32(0) - right_shift - 1
        value = T.call_pure_extern(
            "int32", f"tinyml_requantize_{self.rounding}", accumulator, multiplier, shift
        )
        value = value - -self.zero_point if self.zero_point < 0 else value + self.zero_point
        clamped = T.max(T.min(value, self.clamp_max), self.clamp_min)
        return T.Cast("int8", clamped)

    def scale(self, asm: Assembly, acc: str, multiplier: str, spare: str, group: int) -> None:
        """Multiply the accumulators of one group, in place; SEW is 32 bits.

        multiplier: register with the factors, a vector or (its name starting with t or a) a scalar.
        spare: vector group that may be overwritten, as may a vector of factors.
        """
        kind = "vx" if multiplier[0] in "ta" else "vv"
        if self.rounding == "double":
            asm.emit(f"vsmul.{kind} {acc}, {acc}, {multiplier}", group=group)
            if self.correct_ties:
                asm.emit(f"vsra.vi {spare}, {acc}, 31", f"vadd.vv {acc}, {acc}, {spare}", group=group)
            return
        if not self.correct_ties:
            asm.emit(f"vmulh.{kind} {acc}, {acc}, {multiplier}", group=group)
            return
        # spare = -1 where the low word is zero and the accumulator negative, else 0.
        asm.emit(f"vmul.{kind} {spare}, {acc}, {multiplier}", group=group)
        asm.emit("li t0, 1")
        asm.emit(f"vminu.vx {spare}, {spare}, t0", f"vadd.vi {spare}, {spare}, -1", group=group)
        # The sign of the high word is that of the accumulator: factors are not negative.
        asm.emit(f"vmulh.{kind} {acc}, {acc}, {multiplier}", group=group)
        asm.emit(f"vand.vv {spare}, {spare}, {acc}", f"vsra.vi {spare}, {spare}, 31", group=group)
        asm.emit(f"vadd.vv {acc}, {acc}, {spare}", group=group)

    def store_strip(self, asm: Assembly, zero_point: str) -> None:
        """Narrow eight registers of scaled int32 from v8 on, add the zero point, clamp and store at a2; then advance.

        As a binary operator ends a strip: operands at a0 and a1, a3 counts elements, t2 holds the vector length; v0 to
        v23 and t1 may be overwritten. zero_point: scalar register.
        """
        asm.emit("vsetvli zero, t2, e16, m4, ta, ma")
        asm.emit("vnclip.wi v16, v8, 0", group=8)
        asm.emit(f"vsadd.vx v16, v16, {zero_point}", group=4)
        asm.emit("vsetvli zero, t2, e8, m2, ta, ma")
        asm.emit("vnclip.wi v0, v16, 0", group=4)
        self.clamp(asm, "v0", "t1", 2)
        asm.emit("vse8.v v0, (a2)", group=2)
        asm.emit("add a0, a0, t2", "add a1, a1, t2", "add a2, a2, t2", "sub a3, a3, t2")

    def clamp(self, asm: Assembly, register: str, scalar: str, group: int) -> None:
        """Clamp int8 lanes to limits narrower than int8's, in place; SEW is 8 bits."""
        if self.clamp_min > -128:
            asm.emit(f"li {scalar}, {self.clamp_min}")
            asm.emit(f"vmax.vx {register}, {register}, {scalar}", group=group)
        if self.clamp_max < 127:
            asm.emit(f"li {scalar}, {self.clamp_max}")
            asm.emit(f"vmin.vx {register}, {register}, {scalar}", group=group)


@dataclass(frozen=True)
class Parameters:
    """An epilogue with its constants, int64[channels] each; the shift is a right shift."""

    epilogue: Epilogue
    bias: Array
    multiplier: Array
    shift: Array

    def words(self, channels: Array) -> Array:
        """Biases, then multipliers of groups of channels [groups, lanes], int32[groups, 2 * lanes]."""
        rows = np.concatenate([self.bias[channels], self.multiplier[channels]], 1)
        return np.ascontiguousarray(rows.astype(np.int32))

    def shifts(self, channels: Array) -> Array:
        """Right shifts of channels, int8 in the same shape."""
        shifts: Array = self.shift[channels].astype(np.int8)
        return shifts

    def factors(self, channels: Array) -> Array:
        """Bias and multiplier of channels, int32[channels, 2]."""
        pairs = np.stack([self.bias[channels], self.multiplier[channels]], 1)
        return np.ascontiguousarray(pairs.astype(np.int32))


def fit_epilogue(
    constants: Mapping[str, Array], attrs: Mapping[str, Any], bias: Array, window: int
) -> Parameters | None:
    """Epilogue of a layer.

    None when a factor is too large for a right shift, the output constant, or an accumulator could wrap around.

    constants: "multiplier" and "shift" of the layer, int32[channels].
    bias: int64[channels], input zero point folded in.
    window: products in an accumulator.
    """
    rounding = attrs["rounding"]
    correct_ties = rounding != "single" and attrs["clamp_min"] < attrs["zero_point"]
    multiplier, shift = constants["multiplier"].astype(np.int64), constants["shift"].astype(np.int64)
    right = -shift if rounding == "double" else -1 - shift
    # A factor of zero gives zero whatever the shift.
    right = np.where(multiplier == 0, 1, right)
    lowest = 1 if correct_ties or rounding != "double" else 0
    if right.min() < lowest or right.max() > 31 or np.abs(bias).max() + window * LARGEST_PRODUCT >= 2**31:
        return None
    if attrs["clamp_min"] >= attrs["clamp_max"]:
        return None
    epilogue = Epilogue(rounding, correct_ties, attrs["zero_point"], attrs["clamp_min"], attrs["clamp_max"])
    return Parameters(epilogue, bias, multiplier, right)
