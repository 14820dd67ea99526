"""Runs a generated project in this process: compiled to a shared library, called through ctypes."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from tvm_tinyml.errors import RunError
from tvm_tinyml.runner.build import build_shared_library
from tvm_tinyml.runner.glue import caller_offsets
from tvm_tinyml.runner.project import Array, load_project
from tvm_tinyml.runner.supply import Supply
from tvm_tinyml.target import TargetConfig

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_POISON = 0xA5
"""Arbitrary content of fresh arena memory: a correct model overwrites before it reads."""


class HostModel:
    """A project compiled for the host and loaded; runs as often as wanted.

    BuildError when it does not compile. The library file is removed once it is loaded. One arena serves all runs, so
    several threads wait for one another.

    supplies: what supplied the inputs that the last run fetched, by the number of the input.
    """

    def __init__(self, project_dir: str | Path, config: TargetConfig) -> None:
        if config.core.family != "host":
            raise RunError(
                f"target {config} is not for the host; compile the model with -mcpu=host to run it here"
            )
        self.project = load_project(project_dir)
        with tempfile.TemporaryDirectory(prefix="tvm-tinyml-") as folder:
            library = build_shared_library(self.project, config, Path(folder))
            self._entry = getattr(ctypes.CDLL(str(library)), self.project.entry)
        self._entry.restype = ctypes.c_int
        self.supplies: dict[int, Supply] = {}
        self._running = RLock()
        self._arena = _aligned(self.project.arena_bytes, self.project.arena_alignment)
        offsets, buffer_bytes = caller_offsets(self.project)
        if self.project.io == "arena":
            self._tensors = self._arena
            self._offsets = [tensor.offset or 0 for tensor in self.project.tensors]
        else:
            self._tensors = _aligned(buffer_bytes, self.project.arena_alignment)
            self._offsets = offsets

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run one inference. RunError when an input does not fit its tensor or the model reports failure."""
        with self._running:
            return self._run(inputs)

    def _run(self, inputs: Sequence[Array]) -> list[Array]:
        encoded = self.project.encode_inputs(inputs)
        self.supplies = {
            number: Supply(tensor, data)
            for number, (tensor, data) in enumerate(zip(self.project.inputs, encoded, strict=True))
            if tensor.pulled
        }
        for number, (data, offset) in enumerate(zip(encoded, self._offsets, strict=False)):
            if number not in self.supplies:
                self._tensors[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
        arguments: list[Any] = [ctypes.c_void_p(self._arena.ctypes.data)]
        for number, offset in enumerate(self._offsets):
            if number in self.supplies:
                arguments += [self.supplies[number].callback, ctypes.c_void_p(None)]
            elif self.project.io == "caller":
                arguments.append(ctypes.c_void_p(self._tensors.ctypes.data + offset))
        result = self._entry(*arguments)
        if result != 0:
            for supply in self.supplies.values():
                supply.check()
            raise RunError(f"{self.project.entry} returned {result} instead of 0")
        outputs = []
        for tensor, offset in zip(
            self.project.outputs, self._offsets[len(self.project.inputs) :], strict=True
        ):
            outputs.append(tensor.decode(self._tensors[offset : offset + tensor.nbytes].tobytes()))
        return outputs

    def run_raw(self, inputs: Sequence[Array]) -> tuple[list[Array], Bytes]:
        """Run one inference and return its outputs and a copy of the arena as it was left (uint8)."""
        with self._running:
            # What the last run left is not part of this one's.
            self._arena.fill(_POISON)
            return self._run(inputs), self._arena.copy()


def _aligned(nbytes: int, alignment: int) -> Bytes:
    memory = np.full(nbytes + alignment, _POISON, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + nbytes]
