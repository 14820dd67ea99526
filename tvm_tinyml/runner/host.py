"""Runs a generated project in this process: compiled to a shared library, called through ctypes."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvm_tinyml.errors import RunError
from tvm_tinyml.runner.build import build_shared_library
from tvm_tinyml.runner.glue import caller_offsets
from tvm_tinyml.runner.project import Array, load_project
from tvm_tinyml.target import TargetConfig

Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_POISON = 0xA5
"""Arbitrary content of fresh arena memory: a correct model overwrites before it reads."""


class HostModel:
    """A project compiled for the host and loaded; runs as often as wanted.

    BuildError when it does not compile. The library file is removed once it is loaded. Not for use by several
    threads at once: one arena serves all runs.
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
        for data, offset in zip(self.project.encode_inputs(inputs), self._offsets, strict=False):
            self._tensors[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
        pointers = [self._arena.ctypes.data]
        if self.project.io == "caller":
            pointers += [self._tensors.ctypes.data + offset for offset in self._offsets]
        result = self._entry(*(ctypes.c_void_p(pointer) for pointer in pointers))
        if result != 0:
            raise RunError(f"{self.project.entry} returned {result} instead of 0")
        outputs = []
        for tensor, offset in zip(
            self.project.outputs, self._offsets[len(self.project.inputs) :], strict=True
        ):
            outputs.append(tensor.decode(self._tensors[offset : offset + tensor.nbytes].tobytes()))
        return outputs

    def run_raw(self, inputs: Sequence[Array]) -> tuple[list[Array], Bytes]:
        """Run one inference and return its outputs and a copy of the arena as it was left (uint8)."""
        return self.run(inputs), self._arena.copy()


def _aligned(nbytes: int, alignment: int) -> Bytes:
    memory = np.full(nbytes + alignment, _POISON, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + nbytes]
