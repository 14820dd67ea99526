"""Copy and fill of a fixed number of bytes, word by word where the addresses are known to be aligned.

Each word is a `memcpy` of four bytes, which compilers turn into the best loads and stores the core has: one of each
when aligned or when the core allows unaligned access, single bytes otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..kernel import MicroKernel
from ..tensor_ir import drop_unit_loops

WORD = 4
# Bytes moved without a loop, and per round of one.
STRAIGHT, ROUND = 64, 32


@dataclass(frozen=True)
class Copy:
    """Copy of `nbytes` bytes; aligned: both addresses are multiples of four.

    single: what is not aligned goes byte by byte; compilers for Armv6-M would call their library for each word.
    """

    nbytes: int
    aligned: bool
    single: bool = False

    @property
    def name(self) -> str:
        """Name of the C function (to, from)."""
        return f"tinyml_copy_{self.nbytes}{'_aligned' if self.aligned else '_single' if self.single else ''}"

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return _kernel(self.name, "int8_t *to, const int8_t *from", self.nbytes, self._move, ("to", "from"))

    def _move(self, place: str, nbytes: int) -> str:
        to, source = f"to{place}", f"from{place}"
        if nbytes < WORD or (self.single and not self.aligned):
            return "\n".join(
                f"to[{k}] = from[{k}];".replace("[", f"[{_offset(place)}") for k in range(nbytes)
            )
        if self.aligned:
            to, source = (f"__builtin_assume_aligned({address}, {WORD})" for address in (to, source))
        return f"memcpy({to}, {source}, {WORD});"

    def block(self, target: Any, at: tuple[Any, Any], source: Any, origin: tuple[Any, Any]) -> None:
        """Contents of a block that copies part of a row; both buffers are matrices of int8."""
        (row, column), (y, x) = at, origin
        T.reads(source[y, x : x + self.nbytes])
        T.writes(target[row, column : column + self.nbytes])
        with T.serial(0, self.nbytes) as k, T.sblock("copy"):
            vk = T.axis.spatial(self.nbytes, k)
            T.buffer_store(target, source[y, x + vk], [row, column + vk])

    def register(self) -> str:
        """Register the copy as a tensor intrinsic and return its name."""
        return register_move(
            self.name, self.nbytes, 2, lambda target, source: self.block(target, (0, 0), source, (0, 0))
        )


@dataclass(frozen=True)
class Fill:
    """Fill of `nbytes` bytes with an int8 value; aligned: the address is a multiple of four; single as in `Copy`."""

    nbytes: int
    value: int
    aligned: bool
    single: bool = False

    @property
    def name(self) -> str:
        """Name of the C function (to)."""
        suffix = "_aligned" if self.aligned else "_single" if self.single else ""
        return f"tinyml_fill_{self.nbytes}_{self.value}{suffix}".replace("-", "m")

    def micro_kernel(self) -> MicroKernel:
        """The C function."""
        return _kernel(self.name, "int8_t *to", self.nbytes, self._move, ("to",))

    def _move(self, place: str, nbytes: int) -> str:
        if nbytes < WORD or (self.single and not self.aligned):
            return "\n".join(f"to[{_offset(place)}{k}] = {self.value};" for k in range(nbytes))
        to = f"__builtin_assume_aligned(to{place}, {WORD})" if self.aligned else f"to{place}"
        return f"memset({to}, {self.value}, {WORD});"

    def block(self, target: Any, at: tuple[Any, Any]) -> None:
        """Contents of a block that fills part of a row of a matrix of int8."""
        row, column = at
        T.reads()
        T.writes(target[row, column : column + self.nbytes])
        with T.serial(0, self.nbytes) as k, T.sblock("fill"):
            vk = T.axis.spatial(self.nbytes, k)
            T.buffer_store(target, T.int8(self.value), [row, column + vk])

    def register(self) -> str:
        """Register the fill as a tensor intrinsic and return its name."""
        return register_move(self.name, self.nbytes, 1, lambda target: self.block(target, (0, 0)))


def _offset(place: str) -> str:
    return f"{place[3:]} + " if place else ""


def _kernel(
    name: str, parameters: str, nbytes: int, move: Callable[[str, int], str], pointers: tuple[str, ...]
) -> MicroKernel:
    rounds = nbytes // ROUND if nbytes > STRAIGHT else 0
    lines = []
    if rounds:
        lines += ["int32_t round;", f"for (round = 0; round < {rounds}; ++round) {{"]
        lines += [move(f" + {k}" if k else "", WORD) for k in range(0, ROUND, WORD)]
        lines += [f"{pointer} += {ROUND};" for pointer in pointers]
        lines += ["}"]
    rest = nbytes - rounds * ROUND
    for k in range(0, rest, WORD):
        lines += move(f" + {k}" if k else "", min(WORD, rest - k)).splitlines()
    body = "\n".join(f"    {line}" for line in lines)
    return MicroKernel(name, f"static inline void {name}({parameters})\n{{\n{body}\n}}\n")


def register_move(
    name: str, nbytes: int, operands: int, contents: Callable[..., None], arguments: Sequence[int] = ()
) -> str:
    """Register a move of `operands` rows of bytes, given target first, as a tensor intrinsic and return its name.

    contents: emits what the function computes; arguments: constants it is called with behind the pointers.
    """
    intrinsic = f"tinyml.{'_'.join([name, *map(str, arguments)])}"
    if TensorIntrin.get(intrinsic, allow_missing=True) is None:
        description, call = (
            _function(name, nbytes, operands, contents, given) for given in (None, arguments)
        )
        TensorIntrin.register(intrinsic, drop_unit_loops(description), call)
    return intrinsic


def _function(
    name: str, nbytes: int, operands: int, contents: Callable[..., None], arguments: Sequence[int] | None
) -> Any:
    """Call of the function with the constants `arguments`, or what it computes when these are None."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("run")
        handles = [T.arg(f"p{index}", T.handle()) for index in range(operands)]
        target, *sources = (
            T.match_buffer(handle, (1, nbytes), "int8", offset_factor=1, strides=[T.int32(), 1])
            for handle in handles
        )
        with T.sblock("root"):
            if arguments is not None:
                T.reads(*(source[0, 0:nbytes] for source in sources))
                T.writes(target[0, 0:nbytes])
                read = [source.access_ptr("r") for source in sources]
                T.evaluate(T.call_extern("int32", name, target.access_ptr("w"), *read, *arguments))
            else:
                contents(target, *sources)
    return builder.get()
