"""The part of a generated project's metadata.json that running it needs, and its tensors as bytes.

metadata.json is written by codegen; a file that lacks something is a BuildError naming the key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tvm_tinyml.errors import BuildError, RunError

Array = np.ndarray[Any, np.dtype[Any]]

FORMAT = 1
"""The metadata.json format this package reads."""

IMAGE_RANK = 4
"""Of what can be fetched by rows and columns: batch, rows, columns, channels."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class TensorInfo:
    """A model input or output. `offset` is its place in the arena, None when it lies in a caller's buffer.

    pulled: an input which the model asks for by rows and columns, through a callback.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    nbytes: int
    offset: int | None
    pulled: bool = False

    def encode(self, value: Array) -> bytes:
        """Return the bytes of `value`; RunError when its dtype or shape is not the tensor's."""
        if value.dtype != self.dtype or value.shape != self.shape:
            raise RunError(
                f"input {self.name!r} takes {self.dtype} {list(self.shape)}, got {value.dtype} "
                f"{list(value.shape)}; convert or reshape it first"
            )
        return np.ascontiguousarray(value).tobytes()

    def decode(self, data: bytes) -> Array:
        """Return a new array of the tensor's dtype and shape holding `data`."""
        array: Array = np.frombuffer(data, self.dtype).reshape(self.shape).copy()
        return array


@dataclass(frozen=True)
class LayerInfo:
    """One layer in call order: its name, the C function that computes it and its multiply-accumulates."""

    name: str
    function: str
    macs: int


@dataclass(frozen=True)
class Project:
    """A generated project as the runners see it; paths are absolute, `arena_bytes` and sizes in bytes."""

    model: str
    entry: str
    sources: tuple[Path, ...]
    include_dirs: tuple[Path, ...]
    io: Literal["arena", "caller"]
    arena_bytes: int
    arena_alignment: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    layers: tuple[LayerInfo, ...]
    callers: tuple[str, ...]
    """C functions that call layers: the entry function, and one for each streamed region."""
    calls: tuple[int, ...]
    """Layers in the order in which their functions are called, by number; those of a streamed region recur."""
    calls_npu: bool = False
    """Whether there are networks on an Ethos-U, for which the functional model is linked."""

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """Inputs, then outputs: the order of the entry function's arguments; with io=arena only for pulled ones."""
        return (*self.inputs, *self.outputs)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(layer.macs for layer in self.layers)

    def encode_inputs(self, values: Sequence[Array]) -> list[bytes]:
        """Return the bytes of one inference's inputs; RunError when number, dtype or shape is wrong."""
        if len(values) != len(self.inputs):
            names = ", ".join(repr(tensor.name) for tensor in self.inputs)
            raise RunError(f"model {self.model} takes {len(self.inputs)} inputs ({names}), got {len(values)}")
        return [tensor.encode(value) for tensor, value in zip(self.inputs, values, strict=True)]


def load_project(folder: str | Path) -> Project:
    """Read `folder`/metadata.json. BuildError when it is missing, not readable or not of the known format."""
    root = Path(folder).resolve()
    path = root / "metadata.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BuildError(
            f"{root} holds no metadata.json: not a generated project; compile the model first"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BuildError(f"{path} cannot be read: {error}; compile the model again") from None
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise BuildError(f"{path} is not of format {FORMAT}; compile the model again with this version")
    try:
        return _read_project(root, table)
    except KeyError as error:
        raise BuildError(f"{path} lacks the key {error}; compile the model again") from None
    except (TypeError, ValueError) as error:
        raise BuildError(f"{path} is damaged: {error}; compile the model again") from None


def _read_project(root: Path, table: dict[str, Any]) -> Project:
    if table["io"] not in ("arena", "caller"):
        raise ValueError(f"io is {table['io']!r}")
    # Names end up in generated C and on command lines.
    functions = (row["function"] for row in table["layers"])
    streaming = _streaming_functions(table.get("regions", ()))
    for name in (table["model"], table["entry"], *functions, *streaming):
        if not _IDENTIFIER.fullmatch(name):
            raise ValueError(f"{name!r} is not a C identifier")
    return Project(
        model=table["model"],
        entry=table["entry"],
        sources=tuple(root / source for source in table["sources"]),
        include_dirs=(root, *(root / folder for folder in table["include_dirs"])),
        io=table["io"],
        arena_bytes=int(table["arena_bytes"]),
        arena_alignment=int(table["arena_alignment"]),
        inputs=tuple(_read_tensor(row, table["io"]) for row in table["inputs"]),
        outputs=tuple(_read_tensor(row, table["io"]) for row in table["outputs"]),
        layers=tuple(
            LayerInfo(str(row["name"]), str(row["function"]), int(row.get("macs", 0)))
            for row in table["layers"]
        ),
        callers=(table["entry"], *_streaming_functions(table.get("regions", ()))),
        calls=_read_calls(len(table["layers"]), table.get("regions", ())),
        calls_npu=bool((table.get("npu") or {}).get("networks")),
    )


def _streaming_functions(regions: Sequence[dict[str, Any]]) -> list[str]:
    """Functions of streamed regions and of their segments."""
    return [str(one["function"]) for region in regions for one in (region, *region.get("segments", ()))]


def _expand(order: dict[str, Any]) -> list[int]:
    return [*order["first"], *order["repeated"] * order["times"], *order["last"]]


def _read_calls(layers: int, regions: Sequence[dict[str, Any]]) -> tuple[int, ...]:
    calls = {number: [number] for number in range(layers)}
    for region in regions:
        inside = region["layers"]
        bands = {segment["layer"]: _expand(segment["calls"]) for segment in region.get("segments", ())}
        numbers = [one for call in _expand(region["calls"]) for one in bands.get(call, (call,))]
        calls |= {number: [] for number in inside}
        # Numbers beyond the region's layers fill rows and call nothing.
        called = [inside[number] for number in numbers if number < len(inside)]
        calls[inside[0]] = called * region["strips"]
    return tuple(number for called in calls.values() for number in called)


def _read_tensor(row: dict[str, Any], io: str) -> TensorInfo:
    dtype = np.dtype(row["dtype"])
    shape = tuple(int(extent) for extent in row["shape"])
    nbytes = int(row["bytes"])
    if nbytes != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"tensor {row['name']!r} of {nbytes} bytes is not {dtype} {list(shape)}")
    pulled = bool(row.get("pulled"))
    if pulled and len(shape) != IMAGE_RANK:
        raise ValueError(f"tensor {row['name']!r} is fetched by rows and has the shape {list(shape)}")
    offset = int(row["offset"]) if io == "arena" and not pulled else None
    return TensorInfo(str(row["name"]), dtype, shape, nbytes, offset, pulled)
