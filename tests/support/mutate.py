"""Deterministic damage to model files, for tests that a reader neither crashes, hangs nor over-allocates.

Half of the mutations know nothing of the format (truncated, flipped, spliced bytes); the other half follow the
flatbuffer to the fields a reader trusts (shapes, indices, lengths, scales, options, offsets) and overwrite
them with values that are extreme but well-placed. The original must be a valid model.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite

Mutation = Callable[[bytearray, np.random.Generator], None]

HUGE_INT32 = (-(2**31), -65536, -2, -1, 0, 1, 2, 127, 4096, 65535, 65536, 2**20, 2**30, 2**31 - 1)
STRANGE_FLOAT32 = (0.0, -0.0, -1.0, 1e-45, 1e-38, 3e38, float("inf"), float("-inf"), float("nan"))
# Most mutants carry one wound; a few carry several.
MAXIMUM_WOUNDS = 3


@dataclass(frozen=True)
class Field:
    """A place in the file: what it means, where it starts and how many bytes it takes."""

    kind: str
    position: int
    size: int


def mutations(model_bytes: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` damaged copies; the same arguments give the same copies.

    Every kind of mutation comes up in turn, so even a short run sees them all. A mutant may by chance still be a
    valid model, never the original itself.
    """
    generator = np.random.default_rng(seed)
    kinds = [*_BLIND, *_aware_mutations(model_bytes)]
    produced = 0
    while produced < count:
        mutant = bytearray(model_bytes)
        kinds[produced % len(kinds)](mutant, generator)
        for _ in range(_extra_wounds(generator)):
            if len(mutant) > 8:
                _BLIND[int(generator.integers(len(_BLIND)))](mutant, generator)
        if bytes(mutant) != model_bytes:
            produced += 1
            yield bytes(mutant)


def _extra_wounds(generator: np.random.Generator) -> int:
    return int(generator.integers(1, MAXIMUM_WOUNDS)) if generator.random() < 0.15 else 0


def _truncate(data: bytearray, generator: np.random.Generator) -> None:
    del data[int(generator.integers(len(data))) :]


def _truncate_near_the_start(data: bytearray, generator: np.random.Generator) -> None:
    del data[int(generator.integers(min(64, len(data)))) :]


def _flip_bits(data: bytearray, generator: np.random.Generator) -> None:
    for _ in range(int(generator.integers(1, 9))):
        data[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))


def _overwrite_run(data: bytearray, generator: np.random.Generator) -> None:
    start, length = int(generator.integers(len(data))), int(generator.integers(1, 33))
    stop = min(start + length, len(data))
    filler = (bytes(stop - start), b"\xff" * (stop - start), generator.bytes(stop - start))
    data[start:stop] = filler[int(generator.integers(3))]


def _splice(data: bytearray, generator: np.random.Generator) -> None:
    length = int(generator.integers(1, min(65, len(data))))
    source, target = generator.integers(len(data) - length + 1, size=2)
    data[target : target + length] = data[source : source + length]


def _insert(data: bytearray, generator: np.random.Generator) -> None:
    position = int(generator.integers(len(data)))
    data[position:position] = generator.bytes(int(generator.integers(1, 17)))


def _delete(data: bytearray, generator: np.random.Generator) -> None:
    start = int(generator.integers(len(data)))
    del data[start : start + int(generator.integers(1, 17))]


def _overwrite_any_word(data: bytearray, generator: np.random.Generator) -> None:
    words = len(data) // 4
    if words:
        position = 4 * int(generator.integers(words))
        struct.pack_into("<i", data, position, _huge(generator, len(data)))


_BLIND: tuple[Mutation, ...] = (
    _truncate,
    _truncate_near_the_start,
    _flip_bits,
    _overwrite_run,
    _splice,
    _insert,
    _delete,
    _overwrite_any_word,
)


def _huge(generator: np.random.Generator, length: int) -> int:
    values = (*HUGE_INT32, length, length - 1, -length)
    return values[int(generator.integers(len(values)))]


def _aware_mutations(model_bytes: bytes) -> list[Mutation]:
    fields: dict[str, list[Field]] = {}
    for field in _fields(model_bytes):
        fields.setdefault(field.kind, []).append(field)
    mutants: list[Mutation] = [_overwriter(places) for places in fields.values()]
    return [*mutants, *(_swapper(fields[kind]) for kind in ("tensor index", "dimension") if kind in fields)]


def _overwriter(places: list[Field]) -> Mutation:
    def overwrite(data: bytearray, generator: np.random.Generator) -> None:
        field = places[int(generator.integers(len(places)))]
        if field.kind == "scale":
            value = STRANGE_FLOAT32[int(generator.integers(len(STRANGE_FLOAT32)))]
            struct.pack_into("<f", data, field.position, value)
        elif field.size == 1:
            data[field.position] = int(generator.integers(256))
        elif field.size == 2:
            struct.pack_into("<H", data, field.position, int(generator.integers(65536)))
        elif field.size == 8:
            struct.pack_into("<q", data, field.position, _huge(generator, len(data)) << 31)
        else:
            struct.pack_into("<i", data, field.position, _huge(generator, len(data)))

    return overwrite


def _swapper(places: list[Field]) -> Mutation:
    def swap(data: bytearray, generator: np.random.Generator) -> None:
        first, second = (places[int(i)].position for i in generator.integers(len(places), size=2))
        data[first : first + 4], data[second : second + 4] = (
            data[second : second + 4],
            data[first : first + 4],
        )

    return swap


def _fields(model_bytes: bytes) -> Iterator[Field]:
    """Every field worth overwriting, found through the generated schema classes."""
    model = tflite.Model.GetRootAs(model_bytes, 0)
    yield Field("root offset", 0, 4)
    yield Field("file identifier", 4, 4)
    yield from _table(model)
    for index in range(model.OperatorCodesLength()):
        yield from _table(model.OperatorCodes(index), "operator code")
    for index in range(model.BuffersLength()):
        yield from _table(model.Buffers(index), "buffer")
        yield from _vector_length(model.Buffers(index), 4)
    for index in range(model.SubgraphsLength()):
        yield from _graph_fields(model.Subgraphs(index))


def _graph_fields(graph: Any) -> Iterator[Field]:
    yield from _table(graph)
    for slot in (4, 6, 8, 10):
        yield from _vector_length(graph, slot)
    for slot in (6, 8):
        yield from _vector(graph, slot, "tensor index", 4)
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        yield from _table(tensor, "tensor")
        yield from _vector_length(tensor, 4)
        yield from _vector(tensor, 4, "dimension", 4)
        quantization = tensor.Quantization()
        if quantization is not None:
            yield from _vector_length(quantization, 8)
            yield from _vector(quantization, 8, "scale", 4)
            yield from _vector(quantization, 10, "zero point", 8)
            yield from _table(quantization, "quantization")
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        yield from _table(operator, "operator")
        for slot in (6, 8):
            yield from _vector_length(operator, slot)
            yield from _vector(operator, slot, "tensor index", 4)
        options = operator.BuiltinOptions()
        if options is not None:
            yield from _table_at(options, "option")


def _table(table: Any, kind: str = "table") -> Iterator[Field]:
    yield from _table_at(table._tab, kind)


def _table_at(table: Any, kind: str) -> Iterator[Field]:
    """The offset to the vtable, the vtable's entries, and the fields themselves (scalars and offsets)."""
    data, start = table.Bytes, table.Pos
    vtable = start - struct.unpack_from("<i", data, start)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    yield Field("vtable offset", start, 4)
    for entry in range(vtable, vtable + size, 2):
        yield Field("vtable entry", entry, 2)
    offsets = [struct.unpack_from("<H", data, entry)[0] for entry in range(vtable + 4, vtable + size, 2)]
    ends = [*sorted(offsets), struct.unpack_from("<H", data, vtable + 2)[0]]
    for offset in offsets:
        if offset:
            width = next(end for end in ends if end > offset) - offset
            yield Field(f"{kind} field", start + offset, 4 if width >= 4 else 1)


def _vector_length(table: Any, slot: int) -> Iterator[Field]:
    offset = table._tab.Offset(slot)
    if offset:
        yield Field("vector length", table._tab.Vector(offset) - 4, 4)


def _vector(table: Any, slot: int, kind: str, size: int) -> Iterator[Field]:
    offset = table._tab.Offset(slot)
    if offset:
        start = table._tab.Vector(offset)
        for index in range(table._tab.VectorLen(offset)):
            yield Field(kind, start + index * size, size)
