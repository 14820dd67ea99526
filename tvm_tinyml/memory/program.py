"""The planner's view of a compiled model: named tensors, and steps that read and write them in order.

A `Program` knows nothing of operators. Every tensor is written once, as static single assignment demands, but
at the granularity of bytes: a view names a byte range of a root tensor, and several steps may each fill their
own range, which is how a concatenation is built without copying. The checks made here are what the planner
and the verifier rely on.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from tvm_tinyml.errors import PlanError


@dataclass(frozen=True)
class Tensor:
    """A contiguous run of bytes.

    name: unique among all tensors, views and scratch buffers of a program.
    nbytes: size in bytes, at least 1.
    alignment: the start address is a multiple of this many bytes; a power of two.
    cuts: of scratch, bytes at which it may be taken apart, upwards and multiples of the alignment.
    """

    name: str
    nbytes: int
    alignment: int
    cuts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # NumPy integers are accepted and stored as int, so that a plan can be written as JSON.
        object.__setattr__(self, "nbytes", operator.index(self.nbytes))
        object.__setattr__(self, "alignment", operator.index(self.alignment))
        if not self.name:
            raise PlanError("memory program: a tensor has an empty name; give every tensor a name")
        if self.nbytes < 1:
            raise PlanError(
                f"memory program: tensor {self.name!r} has {self.nbytes} bytes; "
                "a tensor needs at least 1 byte, leave empty tensors out of the program"
            )
        if self.alignment < 1 or self.alignment & (self.alignment - 1):
            raise PlanError(
                f"memory program: tensor {self.name!r} has alignment {self.alignment}; use a power of two"
            )
        ends = (0, *self.cuts, self.nbytes)
        if any(end <= begin or begin % self.alignment for begin, end in pairwise(ends)):
            raise PlanError(
                f"memory program: tensor {self.name!r} of {self.nbytes} bytes has cuts {self.cuts}; they go upwards, "
                f"inside it, in multiples of its alignment {self.alignment}"
            )

    @property
    def pieces(self) -> tuple[Tensor, ...]:
        """Its pieces between the cuts; itself where there are none."""
        if not self.cuts:
            return (self,)
        ends = (*self.cuts, self.nbytes)
        return tuple(
            Tensor(f"{self.name}.{number}", end - begin, self.alignment)
            for number, (begin, end) in enumerate(zip((0, *self.cuts), ends, strict=True))
        )


class InPlace(NamedTuple):
    """Permission for a step to overwrite one of its inputs, or its scratch, while it still reads it.

    The step stays correct whenever address(output) + distance <= address(input): it never writes an output
    byte that lies more than `distance` bytes ahead of the input bytes it has finished with, both counted from
    the start of their tensor. An element-wise step that walks both in ascending order has distance 0, a
    convolution that needs some finished rows again has a positive one (the overwrite rule of vMCU and MCUNet).
    With `same_place` it also stays correct where both begin at the same address, whatever the distance.
    The permission is used only where the input dies in that step; elsewhere it has no effect. `input` may be
    scratch of the step as well, or a piece of it, which counts where the scratch has been taken apart.
    """

    input: str
    output: str
    distance: int = 0
    same_place: bool = False


@dataclass(frozen=True)
class Step:
    """One call of a layer function: all `reads`, `writes` and `scratch` are in memory at the same time.

    name: unique among the steps; a trailing `_<number>` is taken as an index when drawings group steps.
    reads, writes: names of tensors or views.
    scratch: buffers needed during this step only.
    inplace: pairs of a read tensor, or scratch, and a written one which may share bytes.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    scratch: tuple[Tensor, ...] = ()
    inplace: tuple[InPlace, ...] = ()


@dataclass(frozen=True)
class Program:
    """Tensors, and the steps in execution order.

    tensors: roots and views.
    inputs: tensors or views filled by the caller before the first step.
    outputs: tensors or views whose bytes the caller reads after the last step; an input may be one.
    aliases: view name -> (root name, byte offset in the root). A root is never itself a view.

    Raises PlanError naming the step and tensor when a tensor is read before it is written, a byte is written
    twice, a view leaves its root, a name is unknown or a name is used twice.
    """

    tensors: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    aliases: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_names()
        self._check_views()
        self._check_data_flow()
        self._check_inplace()

    @cached_property
    def by_name(self) -> dict[str, Tensor]:
        """Tensor or view of each name; scratch buffers are not included."""
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def roots(self) -> tuple[Tensor, ...]:
        """The tensors that own memory, in declaration order.

        The alignment of a root includes that of its views: their offsets in the root are multiples of their
        own alignment, so the larger power of two serves both.
        """
        alignment = {tensor.name: tensor.alignment for tensor in self.tensors}
        for view, (root, _) in self.aliases.items():
            alignment[root] = max(alignment[root], alignment[view])
        return tuple(
            Tensor(tensor.name, tensor.nbytes, alignment[tensor.name])
            for tensor in self.tensors
            if tensor.name not in self.aliases
        )

    @property
    def divided(self) -> Program:
        """The same program with every scratch buffer in its pieces."""
        steps = []
        for step in self.steps:
            apart = {buffer.name for buffer in step.scratch if buffer.cuts}
            pieces = tuple(piece for buffer in step.scratch for piece in buffer.pieces)
            inplace = tuple(one for one in step.inplace if one.input not in apart)
            steps.append(replace(step, scratch=pieces, inplace=inplace))
        return replace(self, steps=tuple(steps))

    def place(self, name: str) -> tuple[str, int]:
        """Root that holds tensor or view `name`, and the byte offset of `name` in it."""
        return self.aliases.get(name, (name, 0))

    def _check_names(self) -> None:
        scratch = [buffer for step in self.steps for buffer in step.scratch]
        _refuse_duplicates("tensor", (tensor.name for tensor in (*self.tensors, *scratch)))
        _refuse_duplicates("step", (step.name for step in self.steps))
        known = self.by_name.keys()
        uses = [("the inputs", self.inputs), ("the outputs", self.outputs)]
        for step in self.steps:
            uses += [(f"step {step.name!r}", step.reads), (f"step {step.name!r}", step.writes)]
        for where, names in uses:
            for name in names:
                if name not in known:
                    raise PlanError(f"memory program: {where} use tensor {name!r}, which is not declared")

    def _check_views(self) -> None:
        for view, (root, offset) in self.aliases.items():
            for name in (view, root):
                if name not in self.by_name:
                    raise PlanError(f"memory program: view {view!r} of {root!r}: {name!r} is not declared")
            if root in self.aliases:
                raise PlanError(
                    f"memory program: view {view!r} names {root!r}, itself a view of {self.aliases[root][0]!r}; "
                    "give the root and the total byte offset"
                )
            end = offset + self.by_name[view].nbytes
            if offset < 0 or end > self.by_name[root].nbytes:
                raise PlanError(
                    f"memory program: view {view!r} covers bytes [{offset}, {end}) of {root!r}, "
                    f"which has {self.by_name[root].nbytes} bytes"
                )
            if offset % self.by_name[view].alignment:
                raise PlanError(
                    f"memory program: view {view!r} starts at byte {offset} of {root!r}, "
                    f"not a multiple of its alignment {self.by_name[view].alignment}"
                )

    def _check_data_flow(self) -> None:
        written: dict[str, list[tuple[int, int, str]]] = {tensor.name: [] for tensor in self.roots}
        for name in self.inputs:
            self._write(written, name, "the caller")
        for step in self.steps:
            for name in step.reads:
                self._require(written, name, f"step {step.name!r} reads")
            for name in step.writes:
                self._write(written, name, f"step {step.name!r}")
        for name in self.outputs:
            self._require(written, name, "the caller reads output")
        for root, ranges in written.items():
            if not ranges:
                raise PlanError(f"memory program: tensor {root!r} is never written; leave it out")

    def _range(self, name: str) -> tuple[str, int, int]:
        root, start = self.place(name)
        return root, start, start + self.by_name[name].nbytes

    def _write(self, written: dict[str, list[tuple[int, int, str]]], name: str, writer: str) -> None:
        root, start, end = self._range(name)
        for other_start, other_end, other in written[root]:
            if start < other_end and other_start < end:
                raise PlanError(
                    f"memory program: {writer} writes tensor {name!r}, bytes "
                    f"[{max(start, other_start)}, {min(end, other_end)}) of {root!r} already written by {other}"
                )
        written[root].append((start, end, writer))

    def _require(self, written: dict[str, list[tuple[int, int, str]]], name: str, reader: str) -> None:
        root, start, end = self._range(name)
        reached = start
        for other_start, other_end, _ in sorted(written[root]):
            if other_start <= reached:
                reached = max(reached, other_end)
        if reached < end:
            raise PlanError(
                f"memory program: {reader} tensor {name!r} before byte {reached} of {root!r} is written"
            )

    def _check_inplace(self) -> None:
        for step in self.steps:
            sources = {*step.reads, *(buffer.name for buffer in step.scratch)}
            sources |= {piece.name for buffer in step.scratch for piece in buffer.pieces}
            for permission in step.inplace:
                if permission.input not in sources or permission.output not in step.writes:
                    raise PlanError(
                        f"memory program: step {step.name!r} permits {permission.output!r} in place of "
                        f"{permission.input!r}, but does not read the one and write the other"
                    )
                if permission.distance < 0:
                    raise PlanError(
                        f"memory program: step {step.name!r} permits {permission.output!r} in place of "
                        f"{permission.input!r} at distance {permission.distance}; a distance is at least 0"
                    )


def _refuse_duplicates(kind: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise PlanError(f"memory program: {count} {kind}s are named {name!r}; names must be unique")
