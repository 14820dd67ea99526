"""PointerParameters: give a lowered function plain typed pointers instead of TVM buffers.

TVM's calling conventions (packed functions, DLTensor) need a runtime; bare C needs `int8_t *data`. Each buffer
parameter becomes a pointer variable of the same name, and the buffer is declared on it in the body. Temporaries
too large for the stack become pointer parameters as well: the caller finds them a place in the arena.

Needs: flattened buffers, after every pass that looks at buffer parameters.
Guarantees: parameters keep their order, scratch follows them and is listed in the attribute SCRATCH_ATTR; the
function returns nothing.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import ir, tirx
from tvm_ffi import structural

# Names and sizes in bytes of the scratch parameters, as "name:bytes".
SCRATCH_ATTR = "tinyml.scratch"
# Register tiles stay on the stack, where compilers keep them in registers; anything larger goes to the arena.
MAX_STACK_BYTES = 64


@tvm.tirx.transform.prim_func_pass(opt_level=0, name="tinyml.PointerParameters")
def PointerParameters(func: Any, _module: Any, _context: Any) -> Any:  # noqa: N802 - named as a pass
    """Replace buffer parameters and large temporaries by pointers and drop the return value."""
    scratch: list[tuple[Any, int]] = []

    def lift(allocation: Any) -> Any:
        buffer = allocation.buffer
        size = _bytes(buffer)
        if size <= MAX_STACK_BYTES:
            return allocation
        pointer = _pointer(buffer)
        scratch.append((pointer, size))
        return tirx.DeclBuffer(buffer, data=pointer)

    body = structural.structural_map(func.body, (tirx.AllocBuffer, lift))
    pointers = [_pointer(buffer) for buffer in func.params]
    declarations = [
        tirx.DeclBuffer(buffer, data=pointer) for buffer, pointer in zip(func.params, pointers, strict=True)
    ]
    parameters = [*pointers, *(pointer for pointer, _ in scratch)]
    lowered = tirx.PrimFunc(parameters, tirx.SeqStmt([*declarations, body]), ir.TupleType([]), func.attrs)
    return lowered.with_attr(SCRATCH_ATTR, [f"{pointer.name}:{size}" for pointer, size in scratch])


def _pointer(buffer: Any) -> Any:
    return tirx.Var(buffer.name, ir.PointerType(ir.PrimType(str(buffer.ty.dtype))))


def _bytes(buffer: Any) -> int:
    size = int(tvm.DataType(str(buffer.ty.dtype)).bits) // 8
    for extent in buffer.ty.shape:
        size *= int(extent)
    return size
