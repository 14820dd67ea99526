"""From an optimized module to loops and their memory: schedules are chosen so that what they take fits.

Scratch lies in the arena between the tensors. A layer may use what the tensors of its step leave free of the RAM beside
the stack, and of what the tensors of the whole network need at once plus `scratch_limit`. What code the flash leaves
room for, and the objective, are the selection's business (`schedules/selection.py`). It goes by the estimates of the
schedules, or by instructions that were counted: then the whole network is built as often as a layer has candidates,
each time with other ones, and run. Layers of equal kind share their candidates out, so that fewer runs do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite
from typing import Any, TypeAlias

from .codegen import LoweredModel
from .codegen.layer import Layer
from .codegen.tensorir import Scratch
from .dialect.relax_api import Array
from .lower import Known, Lowering, problem_of
from .memory import MemoryPlan, live_bytes, plan_in_pieces, scratch_room
from .memory.program import Program
from .patch import PatchPlan, Stage
from .patch.costs import Moving
from .schedules import Candidate, Choice, candidates, rounds, select
from .target import TargetConfig

# Bytes that the scratch of fast schedules may add to what the tensors need.
SCRATCH_BYTES = 5 * 1024
# The same where regions stream and memory is what matters; Arm DSP packs its inputs and needs more than others.
STREAMED_SCRATCH_BYTES = 2500
STREAMED_SCRATCH_BYTES_DSP = 5000
# Bytes of code that are not layers: the entry function, start-up code.
OTHER_CODE_BYTES = 2500
# Of the memory planner for an estimate: one plan of many needs no proof.
_EFFORT = 3000


@dataclass(frozen=True)
class LayerEstimate:
    """Instructions of one layer in an inference, infinite where its schedule has no estimate.

    elements: that it reads and writes, inputs counted once. macs: products and sums of products.
    streamed: it is part of a region.
    """

    operator: str
    instructions: float
    elements: int
    macs: int
    streamed: bool


@dataclass(frozen=True)
class Estimate:
    """What a module will cost, before anything is built.

    layers: by name. region_calls: calls that regions make; moving: instructions that move rows inside them.
    program: what lies in memory, scratch included. planner: how an arena for it is found. found: its bytes, if known.
    """

    layers: Mapping[str, LayerEstimate]
    region_calls: int
    moving: float
    program: Program
    planner: str = "auto"
    found: int | None = None

    @cached_property
    def arena_bytes(self) -> int:
        """Bytes of the arena."""
        if self.found:
            return self.found
        return plan_in_pieces(self.program, method=self.planner, effort=_EFFORT)[1].arena_bytes


# Instructions of an element or a product of a layer whose schedule has no estimate.
PER_ELEMENT = 12.0
# Instructions that the code of a region, which are some hundred bytes, has to save.
REGION = 1000.0
# Calls for which rules are asked what one costs: about as many as there are of a layer that streams.
CALLS_OF_A_LAYER = 32
# Constants of a layer that its calls do not get dearer by.
_OWN = ("name", "tensor", "scale", "zero_point", "input_zero_point")


class CallInstructions:
    """Estimated instructions of single calls of layers, by the schedule rules of a target; nothing is built.

    constants: of every layer, by its name. Layers that differ in their constants alone are asked about once.
    """

    def __init__(self, config: TargetConfig, constants: Mapping[str, Sequence[Array | None]]) -> None:
        self.config = config
        self.constants = constants
        self.limit = scratch_limit(config, streams=True)
        self._known: dict[Hashable, float] = {}

    def __call__(self, stage: Stage) -> float:
        """Of the fastest schedule that is allowed its scratch; without an estimate, a lot for every element."""
        found = self.in_planes(stage, 0, 0)
        if isfinite(found):
            return found
        elements = sum(spec.elements for spec in (*stage.specs, stage.output))
        return PER_ELEMENT * (elements + stage.node.operator.macs(stage.specs, stage.attrs))

    def in_planes(self, stage: Stage, data_plane: int, output_plane: int) -> float:
        """The same with rows in planes, as in `Problem`; infinite where no rule says how many."""
        attrs = repr(sorted((key, value) for key, value in stage.attrs.items() if key not in _OWN))
        key = stage.node.operator.name, stage.specs, stage.output, attrs, data_plane, output_plane
        if key not in self._known:
            self._known[key] = self._asked(stage, data_plane, output_plane)
        return self._known[key]

    def _asked(self, stage: Stage, data_plane: int, output_plane: int) -> float:
        node = stage.node
        # Where a segment has swapped rows and columns, those of kernels are, too.
        values = [
            value.swapaxes(1, 2) if value is not None and value.shape != spec.shape else value
            for value, spec in zip(self.constants[node.name], stage.specs, strict=True)
        ]
        shape = stage.output.shape
        problem = problem_of(
            self.config, node.operator, stage.specs, values, stage.attrs, shape, CALLS_OF_A_LAYER
        )
        problem = replace(problem, data_plane=data_plane, output_plane=output_plane)
        # What runs whole leaves room for scratch more often than what streams.
        whole = stage.specs == node.specs and stage.output == node.output
        limit = SCRATCH_BYTES if whole else self.limit
        found = [one.instructions for one in candidates(problem) if one.scratch <= limit]
        return min(found, default=inf)


Count: TypeAlias = Callable[[LoweredModel, MemoryPlan], Sequence[int]]
"""Runs a model and returns the instructions of each of its layers."""


def lower_and_plan(
    module: Any,
    config: TargetConfig,
    patch: PatchPlan | None = None,
    *,
    pulled: frozenset[str] = frozenset(),
    keep_all: bool,
    count: Count | None = None,
    known: Known | None = None,
) -> tuple[LoweredModel, Program, MemoryPlan]:
    """Choose a schedule for every layer of a cleaned-up module, build them and plan the arena.

    patch: the plan whose order the module has, if any. pulled: inputs that its regions fetch. known: see `Lowering`.
    keep_all: as in `memory.plan`.
    count: runs every candidate; None: estimates decide.
    """
    lowering = Lowering(module, config, patch, pulled, known)
    room = _scratch_room(lowering, config, streams=bool(patch is not None and patch.regions))
    if count is not None:
        lowering.candidates = _counted(lowering, config, room, count)
    choices = _choose(lowering, config, room)
    planned = _planned(lowering, choices, config, keep_all=keep_all)
    excess = _excess(planned, config)
    while excess > 0 and lowering.give_up_spare_rows():
        planned = _planned(lowering, choices, config, keep_all=keep_all)
        excess = _excess(planned, config)
    # What the tensors of a step leave free may lie in pieces: give up as much scratch as the plan is too large.
    if excess > 0 and not keep_all:
        fewer = _choose(lowering, config, [one - excess for one in room])
        if any(new.taken != old.taken for new, old in zip(fewer, choices, strict=True)):
            return _planned(lowering, fewer, config, keep_all=keep_all)
    return planned


def _excess(planned: tuple[LoweredModel, Program, MemoryPlan], config: TargetConfig) -> int:
    """Bytes that an arena is larger than its budget, or than the tensors and the scratch that streams may take."""
    model, _, memory_plan = planned
    limit = config.arena_limit
    excess = 0 if limit is None else memory_plan.arena_bytes - limit
    if model.regions:
        most = scratch_limit(config, streams=True)
        bare = model.without_scratch().program(config.alignment, io_in_arena=config.io == "arena")
        if memory_plan.arena_bytes > max(live_bytes(bare)) + most:
            tensors = plan_in_pieces(bare, method=config.planner, keep_all=memory_plan.keep_all)[1]
            excess = max(excess, memory_plan.arena_bytes - tensors.arena_bytes - most)
    return excess


def scratch_limit(config: TargetConfig, *, streams: bool) -> int:
    """Bytes that scratch may add to what the tensors and line buffers of a network need at once."""
    if not streams:
        return SCRATCH_BYTES
    features = config.core.features
    return (
        STREAMED_SCRATCH_BYTES_DSP if "dsp" in features and "mve" not in features else STREAMED_SCRATCH_BYTES
    )


def setup_pixels(config: TargetConfig) -> float:
    """What a call of a streamed layer costs beside its pixels, in pixels of that layer; measured.

    Cores with products of several elements expand or broadcast weights first; Armv7-M without them and Armv6-M read
    weights for every few pixels anyway.
    """
    features = config.core.features
    if features & {"dsp", "mve", "rvv"}:
        return 1.0
    return 0.5 if "rv32" in features else 0.0


def scratch_of(model: LoweredModel) -> dict[str, int]:
    """Bytes of scratch of every layer that has some, those of streamed regions for one call."""
    layers = [(layer.name, layer.scratch) for layer in model.layers]
    layers += [
        (layer.name, scratch)
        for region in model.regions
        for layer, scratch in zip(region.layers, region.scratch, strict=True)
    ]
    return {name: sum(buffer.nbytes for buffer in scratch) for name, scratch in layers if scratch}


def estimated_instructions(model: LoweredModel) -> int:
    """Instructions of one inference by the estimates of the schedules; layers without any are left out."""
    taken = (one for layer in model.layers for one in layer.alternatives if one.taken)
    return sum(one.instructions or 0 for one in taken)


def estimate(
    module: Any, config: TargetConfig, patch: PatchPlan | None, known: Known, plain: LoweredModel
) -> Estimate:
    """What a cleaned-up module costs with the schedules that would be chosen.

    known: see `Lowering`. plain: the same model without a plan, built: its functions say which buffers may overlap.
    """
    lowering = Lowering(module, config, patch, known=known)
    outline = lowering.outline
    choices = _choose(lowering, config, _scratch_room(lowering, config, streams=patch is not None))
    scratch = [
        (Scratch(f"{layer.name}.scratch", choice.candidate.scratch),) if choice.candidate.scratch else ()
        for layer, choice in zip(outline.layers, choices, strict=True)
    ]
    inside = {layer.index for region in outline.regions for layer in region.layers}
    built = {(layer.name, layer.operator, layer.schedule): layer for layer in plain.layers}
    layers = [
        layer
        if layer.index in inside
        else _as_built(
            replace(layer, scratch=own), built.get((layer.name, layer.operator, choice.candidate.rule))
        )
        for layer, own, choice in zip(outline.layers, scratch, choices, strict=True)
    ]
    regions = [
        replace(region, scratch=tuple(scratch[layer.index] for layer in region.layers))
        for region in outline.regions
    ]
    program = replace(outline, layers=layers, regions=regions, functions=plain.functions).program(
        config.alignment, io_in_arena=config.io == "arena"
    )
    return Estimate(
        layers={
            layer.name: LayerEstimate(
                layer.operator,
                choice.candidate.instructions,
                sum(outline.tensors[name].spec.elements for name in {*layer.arguments, layer.output}),
                layer.macs,
                layer.index in inside,
            )
            for layer, choice in zip(outline.layers, choices, strict=True)
        },
        region_calls=sum(len(one.shape.stream.events) * one.shape.strips for one in regions),
        moving=sum(one.moved_bytes for one in regions) * _per_moved_byte(config),
        program=program,
        planner=config.planner,
    )


def moving(config: TargetConfig) -> Moving:
    """What regions do beside calling functions, in instructions; measured (tinyml_rows.h, tinyml_columns.h)."""
    features = config.core.features
    if "mve" in features:
        byte, pixel = 0.19, 2.0
    elif "rvv" in features:
        byte, pixel = 0.19, 8.0
    elif config.core.family == "arm":
        byte, pixel = 0.3, 6.0
    else:
        byte, pixel = 0.8, 6.0
    return Moving(region=REGION, event=25.0, copy=15.0, row=8.0, byte=byte, pixel=pixel)


def _as_built(layer: Layer, built: Layer | None) -> Layer:
    """A layer with the function of the same layer that was built by the same schedule, if it was."""
    if built is None:
        return layer
    return replace(layer, function=built.function, arguments=built.arguments, scratch=built.scratch)


def _per_moved_byte(config: TargetConfig) -> float:
    """Most instructions of a byte that is moved (runtime_c/include/tinyml_rows.h), loops over rows included."""
    features = config.core.features
    return 0.15 if "rvv" in features else 0.3 if "mve" in features or config.core.family == "arm" else 0.8


def _scratch_room(lowering: Lowering, config: TargetConfig, *, streams: bool) -> list[int]:
    """Bytes of scratch that each layer may use."""
    outline = lowering.outline.program(config.alignment, io_in_arena=config.io == "arena")
    free = scratch_room(outline, scratch_limit(config, streams=streams), config.arena_limit)
    return [free[call] for call in lowering.outline.call_of_layer]


def _counted(
    lowering: Lowering, config: TargetConfig, room: Sequence[int], count: Count
) -> list[Sequence[Candidate]]:
    """The candidates of all layers with the instructions they execute, the fastest first."""
    counted = [list(candidates) for candidates in lowering.candidates]
    alike = [[other for other, kind in enumerate(lowering.kinds) if kind == mine] for mine in lowering.kinds]
    for choices in rounds(lowering.candidates, room, lowering.kinds):
        model, _, memory_plan = _planned(lowering, choices, config, keep_all=False)
        for layer, (choice, instructions) in enumerate(zip(choices, count(model, memory_plan), strict=True)):
            for other in alike[layer]:
                known = counted[other][choice.taken]
                counted[other][choice.taken] = replace(known, counted=instructions)
    return [sorted(candidates, key=lambda candidate: candidate.cost) for candidates in counted]


def _choose(lowering: Lowering, config: TargetConfig, room: Sequence[int]) -> list[Choice]:
    limit = None
    if config.flash_bytes is not None:
        limit = config.flash_bytes - lowering.constant_bytes - OTHER_CODE_BYTES
    return select(lowering.candidates, config.opt, scratch=room, code_limit=limit)


def _planned(
    lowering: Lowering, choices: Sequence[Choice], config: TargetConfig, *, keep_all: bool
) -> tuple[LoweredModel, Program, MemoryPlan]:
    model = lowering.build(choices)
    program = model.program(config.alignment, io_in_arena=config.io == "arena")
    program, memory_plan = plan_in_pieces(program, method=config.planner, keep_all=keep_all)
    return model.as_planned(memory_plan), program, memory_plan
