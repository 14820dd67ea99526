"""The only module that touches TVM's Python API for Relax operators, attributes and constants.

That API still moves between releases (struct info became types, `relax.Constant` became `ir.GenericConst`);
a new TVM is a change here and in the other thin modules named in docs/architecture.md, and nowhere else.
Verified with apache-tvm 0.27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tvm
from tvm import ir, relax

Attrs: TypeAlias = Mapping[str, Any]
Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """Static shape and element type of a tensor."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.elements * np.dtype(self.dtype).itemsize


def register_relax_operator(
    name: str,
    doc: str,
    num_inputs: int | None,
    infer: Callable[[Sequence[TensorSpec], Attrs], TensorSpec],
) -> None:
    """Register `name` as a pure Relax operator whose type is given by `infer`; repeated calls change nothing."""
    if name in ir.Op.list_op_names():
        return
    tvm.get_global_func("ir.RegisterOp")(name, doc)
    op = ir.Op.get(name)
    op.set_num_inputs(-1 if num_inputs is None else num_inputs)
    op.set_attrs_type_key("ir.DictAttrs")
    ir.register_op_attr(name, "FPurity", True)

    def infer_type(call: Any, _context: Any) -> Any:
        spec = infer([spec_of(arg) for arg in call.args], attributes(call))
        return relax.TensorType(list(spec.shape), spec.dtype)

    ir.register_op_attr(name, "FInferType", infer_type)


def make_call(name: str, args: Sequence[Any], attrs: Attrs) -> Any:
    """Build a Relax call to the registered operator `name`."""
    return relax.Call(ir.Op.get(name), list(args), ir.make_node("ir.DictAttrs", **attrs))


def call_name(expr: Any) -> str | None:
    """Name of the operator `expr` calls, or None when `expr` is not a call to an operator."""
    if isinstance(expr, relax.Call) and isinstance(expr.op, ir.Op):
        return str(expr.op.name)
    return None


def attributes(call: Any) -> dict[str, Any]:
    """Attributes of a call as plain Python values; arrays become tuples."""
    return {
        str(key): tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for key, value in call.attrs.items()
    }


def spec_of(expr: Any) -> TensorSpec:
    """Static type of a Relax expression.

    Raises ValueError for anything but a tensor of known shape and element type.
    """
    kind = expr.ty
    if not isinstance(kind, relax.TensorType) or kind.shape is None:
        raise ValueError(f"expected a tensor of static shape, found {kind}")
    return TensorSpec(tuple(int(extent) for extent in kind.shape), str(kind.dtype))


def tensor_type(spec: TensorSpec) -> Any:
    """Relax type of a tensor with the given static shape and element type."""
    return relax.TensorType(list(spec.shape), spec.dtype)


def constant(value: Array) -> Any:
    """Relax constant holding `value`."""
    return relax.const(np.asarray(value, order="C"), dtype=str(value.dtype))


def is_constant(expr: Any) -> bool:
    """Whether `expr` is a Relax constant."""
    return isinstance(expr, ir.GenericConst)


def constant_value(expr: Any) -> Array | None:
    """Contents of a Relax constant, or None when `expr` is not constant."""
    if is_constant(expr):
        contents: Array = expr.value.numpy()
        return contents
    return None
