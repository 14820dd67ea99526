"""Networks that Vela has compiled for an Ethos-U, and how to run them on the functional model."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.errors import ModelError
from tvm_tinyml.ethosu.errors import CommandStreamError
from tvm_tinyml.ethosu.machine import run
from tvm_tinyml.ethosu.vela import Estimate, Setup, run_vela

ACCELERATORS = ("ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256")
"""Configurations whose command streams the functional model runs."""


@dataclass(frozen=True)
class Tensor:
    """An input or output: `size` bytes at `offset` of a region, of `shape` with `itemsize` bytes per element."""

    region: int
    offset: int
    shape: tuple[int, ...]
    itemsize: int

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape)) * self.itemsize


@dataclass(frozen=True)
class CompiledNetwork:
    """What Vela writes with `--output-format raw`.

    `payload` is what the driver gets, `constants` the weights of region `constant_region`, and `scratch` the bytes of
    each region of memory (the arena, and fast memory where the NPU has some). `estimate` is Vela's, where it is known.
    """

    payload: bytes
    constants: bytes
    constant_region: int
    scratch: dict[int, int]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    estimate: Estimate | None = None

    @classmethod
    def load(cls, path: Path) -> CompiledNetwork:
        """Reads `*_vela.npz`. Raises ModelError for a file that is not one; nothing in it is unpickled."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                return cls(
                    payload=archive["cmd_data"].tobytes(),
                    constants=archive["weight_data"].tobytes(),
                    constant_region=int(archive["weight_region"]),
                    scratch={
                        int(archive[f"{name}_region"]): int(archive[f"{name}_size"])
                        for name in ("scratch_fast", "scratch")
                        if int(archive[f"{name}_size"]) > 0
                    },
                    inputs=_tensors(archive, "input"),
                    outputs=_tensors(archive, "output"),
                )
        except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(f"{path} is not what Vela writes with --output-format raw: {error}") from error

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[np.uint8]]:
        """Bytes of the outputs for inputs of the right size, computed by the functional model.

        Raises CommandStreamError for other inputs, and for what the model refuses.
        """
        regions = {number: np.zeros(size, np.uint8) for number, size in self.scratch.items()}
        regions[self.constant_region] = np.frombuffer(self.constants, np.uint8).copy()
        if len(inputs) != len(self.inputs):
            raise CommandStreamError(f"the network has {len(self.inputs)} inputs, not {len(inputs)}")
        for number, (tensor, values) in enumerate(zip(self.inputs, inputs, strict=True)):
            if values.nbytes != tensor.size:
                raise CommandStreamError(
                    f"input {number} has {values.nbytes} bytes; the network takes {tensor.size}"
                )
            _place(regions, tensor)[:] = np.frombuffer(values.tobytes(), np.uint8)
        run(self.payload, regions)
        return [_place(regions, tensor).copy() for tensor in self.outputs]


def compile_network(model: bytes, setup: Setup | str) -> CompiledNetwork:
    """A .tflite model compiled by Vela, all of it for the NPU; `setup` may be the name of an accelerator.

    Raises ModelError where Vela is missing, refuses the model or leaves operators to the CPU, with Vela's own words.
    """
    chosen = Setup(setup) if isinstance(setup, str) else setup
    with run_vela(model, chosen, "raw") as result:
        return replace(CompiledNetwork.load(result.file), estimate=result.estimate)


def _tensors(archive: Any, kind: str) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(int(region), int(offset), tuple(int(extent) for extent in shape), int(itemsize))
        for region, offset, shape, itemsize in zip(
            archive[f"{kind}_region"],
            archive[f"{kind}_offset"],
            archive[f"{kind}_shape"],
            archive[f"{kind}_elem_size"],
            strict=True,
        )
    )


def _place(regions: dict[int, NDArray[np.uint8]], tensor: Tensor) -> NDArray[np.uint8]:
    region = regions.get(tensor.region, np.zeros(0, np.uint8))
    if tensor.offset < 0 or tensor.offset + tensor.size > len(region):
        raise CommandStreamError(
            f"a tensor at {tensor.offset} leaves region {tensor.region} of {len(region)} bytes"
        )
    return region[tensor.offset : tensor.offset + tensor.size]
