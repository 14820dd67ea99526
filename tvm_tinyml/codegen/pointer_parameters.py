"""PointerParameters: give a lowered function plain typed pointers instead of TVM buffers.

TVM's calling conventions (packed functions, DLTensor) need a runtime; bare C needs `int8_t *data`. Each buffer
parameter becomes a pointer variable of the same name, and the buffer is declared on it in the body.

Needs: flattened buffers, after every pass that looks at buffer parameters.
Guarantees: parameters keep their order; the function returns nothing.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import ir, tirx


@tvm.tirx.transform.prim_func_pass(opt_level=0, name="tinyml.PointerParameters")
def PointerParameters(func: Any, _module: Any, _context: Any) -> Any:  # noqa: N802 - named as a pass
    """Replace buffer parameters by pointers and drop the return value."""
    pointers = [
        tirx.Var(buffer.name, ir.PointerType(ir.PrimType(str(buffer.ty.dtype)))) for buffer in func.params
    ]
    declarations = [
        tirx.DeclBuffer(buffer, data=pointer) for buffer, pointer in zip(func.params, pointers, strict=True)
    ]
    body = tirx.SeqStmt([*declarations, func.body])
    return tirx.PrimFunc(pointers, body, ir.TupleType([]), func.attrs)
