"""What a schedule rule is asked and what it answers.

A rule sees one layer (`Problem`) and answers with candidates: ways to compute it, each with what it will cost. Making
the loops takes far longer than estimating them, so only the candidate that is taken builds its `Kernel`: a scheduled
TensorIR function, the constants in the layout its loops read and the micro-kernels it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .code_size import LOOP_BYTES, source_bytes
from .parts import Parts

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """One layer to schedule.

    operator: dialect name.
    shapes: static shape of every input by its role ("data", "weight", ...), in the order of the arguments.
    constants: contents of the inputs that are constant, by role.
    attrs: the call's attributes.
    output_shape: static shape of the result.
    features: what the core can do ("dsp", "mve", "rv32", "rvv", "thumb1", ...).
    objective: what to choose for: "balanced", "size" (less unrolling, fewer tile shapes) or "speed".
    compute: makes the layer's unscheduled TensorIR function; its parameters are the inputs, then the output. Constant
        inputs are as `stored` holds them.
    calls: how often an inference calls the function: what is stored or coded once has to be worth it together.
    data_plane, output_plane: bytes from one channel to the next of the input "data" and of the output, where they lie
        in planes: element [row, column, channel] is channel * plane + row * columns + column. 0: side by side.
    """

    operator: str
    shapes: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, Array]
    attrs: Mapping[str, Any]
    output_shape: tuple[int, ...]
    features: frozenset[str]
    compute: Callable[[], Any]
    objective: str = "balanced"
    calls: int = 1
    data_plane: int = 0
    output_plane: int = 0

    @property
    def activations(self) -> list[str]:
        """Roles of the inputs that are not constant, in order."""
        return [role for role in self.shapes if role not in self.constants]

    @property
    def is_scalar_rv32(self) -> bool:
        """Whether multiplication and addition are two instructions, and there are no vectors."""
        return "rv32" in self.features and "rvv" not in self.features

    @property
    def stored(self) -> Mapping[str, Array]:
        """The constants as `compute` reads them: exponents of factors, of which a channel has one, as int8."""
        return {role: stored_constant(role, value) for role, value in self.constants.items()}

    @property
    def outputs(self) -> int:
        """Number of output elements."""
        return int(np.prod(self.output_shape))


def stored_constant(role: str, value: Array) -> Array:
    """A constant input as functions made by `Problem.compute` read it."""
    return value.astype(np.int8) if role == "shift" else value


@dataclass(frozen=True)
class MicroKernel:
    """C source of one static function that owns a register tile; equal names mean equal sources."""

    name: str
    source: str


@dataclass(frozen=True)
class Kernel:
    """What a candidate builds.

    function: scheduled TensorIR; its parameters are named after the roles of the layer's activations and after
        `constants`, in any order, and the output comes last. Buffers it allocates become scratch of the arena.
    constants: contents of the constant parameters by name, in the layout that the loops read.
    micro_kernels: functions the code calls.
    """

    function: Any
    constants: Mapping[str, Array]
    micro_kernels: tuple[MicroKernel, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One way to compute a layer, and what it costs; nothing of it is built yet.

    rule: name of the way, for reports.
    instructions: estimate of the instructions of one call, by which candidates are compared.
    build: makes the kernel; called for the candidate that is taken only.
    micro_kernels: makes the functions that the kernel will call, or more.
    scratch: bytes of the buffers that the kernel will allocate in the arena, estimated.
    loop_bytes: bytes of code around the micro-kernels, estimated.
    counted: instructions of one call as they were counted, if they were.
    parts: what the estimate consists of, where the rule's cost model tells them apart.
    waits: estimated cycles that the core waits for results of its own, beyond what other ways to compute such a layer
        do; they weigh like instructions.
    """

    rule: str
    instructions: float
    build: Callable[[], Kernel]
    micro_kernels: Callable[[], tuple[MicroKernel, ...]] = tuple
    scratch: int = 0
    loop_bytes: int = LOOP_BYTES
    counted: int | None = None
    parts: Parts | None = None
    waits: float = 0.0

    def called(self, times: int) -> Candidate:
        """The candidate with the estimate of so many calls."""
        parts = None if self.parts is None else self.parts * times
        return replace(self, instructions=self.instructions * times, parts=parts, waits=self.waits * times)

    @cached_property
    def kernel(self) -> Kernel:
        """What `build` makes, made once."""
        return self.build()

    @cached_property
    def kernel_bytes(self) -> Mapping[str, int]:
        """Estimated bytes of code of the micro-kernels, by name."""
        return {one.name: source_bytes(one.source) for one in self.micro_kernels()}

    @property
    def cost(self) -> float:
        """Instructions of one call, as well as they are known, and what it waits."""
        return self.waits + (self.instructions if self.counted is None else self.counted)


Answer: TypeAlias = "Candidate | Sequence[Candidate] | None"
"""What a rule says about a layer: one candidate or several; None or an empty sequence: not mine."""

Rule: TypeAlias = Callable[[Problem], Answer]
