"""Copy and fill of a fixed number of bytes: what packs borders and windows into scratch."""

from __future__ import annotations

from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ...kernel import MicroKernel
from .assembly import Assembly
from .description import nest, register

# Bytes of eight registers at VLEN = 128.
STRIDE = 128


def _strips(asm: Assembly, nbytes: int, *instructions: str) -> None:
    """Run instructions on strips of a0 (and a1, when they mention it) until `nbytes` are done; a2 is the counter."""
    reads = any("(a1)" in instruction for instruction in instructions)
    asm.emit(f"li a2, {nbytes}")
    if nbytes <= STRIDE:
        asm.emit("vsetvli zero, a2, e8, m8, ta, ma")
        asm.emit(*instructions, group=8)
        return
    with asm.strips("a2", -(-nbytes // STRIDE)):
        asm.emit("vsetvli t0, a2, e8, m8, ta, ma")
        asm.emit(*instructions, group=8)
        asm.emit("add a0, a0, t0", "sub a2, a2, t0")
        if reads:
            asm.emit("add a1, a1, t0")


def copy_kernel(nbytes: int) -> tuple[Assembly, MicroKernel]:
    """C function that copies `nbytes` bytes."""
    asm = Assembly()
    _strips(asm, nbytes, "vle8.v v0, (a1)", "vse8.v v0, (a0)")
    return asm, asm.micro_kernel(copy_name(nbytes), ("int8_t *target", "const int8_t *source"))


def fill_kernel(nbytes: int, value: int) -> tuple[Assembly, MicroKernel]:
    """C function that sets `nbytes` bytes to `value`."""
    asm = Assembly()
    asm.emit(f"li t1, {value}", "vsetvli t0, zero, e8, m8, ta, ma")
    asm.emit("vmv.v.x v0, t1", group=8)
    _strips(asm, nbytes, "vse8.v v0, (a0)")
    return asm, asm.micro_kernel(fill_name(nbytes, value), ("int8_t *target",))


def copy_name(nbytes: int) -> str:
    """Name of the copying micro-kernel."""
    return f"rvv_copy_{nbytes}"


def fill_name(nbytes: int, value: int) -> str:
    """Name of the filling micro-kernel."""
    return f"rvv_fill_{nbytes}_{value}".replace("-", "m")


def copy_block(nbytes: int, target: Any, at: tuple[Any, Any], source: Any, origin: tuple[Any, Any]) -> None:
    """Body of a block that copies `nbytes` bytes of a row; both buffers are two-dimensional."""
    (row, column), (y, x) = at, origin
    T.reads(source[y, x : x + nbytes])
    T.writes(target[row, column : column + nbytes])
    with nest("copy", (nbytes,)) as (i,):
        T.buffer_store(target, source[y, x + i], [row, column + i])


def fill_block(nbytes: int, value: int, target: Any, at: tuple[Any, Any]) -> None:
    """Body of a block that sets `nbytes` bytes of a row of a two-dimensional buffer."""
    row, column = at
    T.reads()
    T.writes(target[row, column : column + nbytes])
    with nest("fill", (nbytes,)) as (i,):
        T.buffer_store(target, T.int8(value), [row, column + i])


def register_copy(nbytes: int) -> str:
    """Register the copy as a TensorIntrin and return its name."""
    name, row = copy_name(nbytes), ((1, nbytes), "int8")
    return register(
        name,
        {"source": row, "target": row},
        lambda source, target: copy_block(nbytes, target, (0, 0), source, (0, 0)),
        lambda source, target: [target.access_ptr("w"), source.access_ptr("r")],
        kernel=name,
        written=1,
    )


def register_fill(nbytes: int, value: int) -> str:
    """Register the fill as a TensorIntrin and return its name."""
    name = fill_name(nbytes, value)
    return register(
        name,
        {"target": ((1, nbytes), "int8")},
        lambda target: fill_block(nbytes, value, target, (0, 0)),
        lambda target: [target.access_ptr("w")],
        kernel=name,
        written=1,
    )
