"""The whole story on one page: from an imported module to a planned, printable model.

Import gives a Relax module of integer operators with the source model's structure. The passes below rewrite
it without changing a bit of any tensor that remains, `choose` and `lower` turn each operator into a scheduled
TensorIR function, and the planner gives every tensor its place in one arena.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

from .choose import (
    CallInstructions,
    Count,
    Estimate,
    estimate,
    estimated_instructions,
    lower_and_plan,
    moving,
    scratch_limit,
    scratch_of,
    setup_pixels,
)
from .codegen import LoweredModel, verify_block, verify_overlaps
from .costless import PRICE, SCALAR_PRICE, costless_plan, most_bytes
from .errors import PlanError, TargetError
from .lower import Known
from .memory import MemoryPlan, explain, verify
from .memory.program import Program
from .offload import Placement, offload
from .patch import PatchPlan
from .patch.choice import PatchFront
from .patch.costs import Instructions
from .patch.footprint import PlanFigures, Settings
from .patch.network import Network
from .patch.on_demand import check_fetched, pullable
from .patch.search import MAX_FACTOR, pareto_front
from .patch.verifier import verify_region
from .target import TargetConfig
from .target.config import STACK_BYTES
from .transform import (
    AccumulatePixels,
    ApplyRounding,
    DeadCode,
    DropIdentity,
    FoldConstantChannels,
    FoldConstants,
    FoldInputZeroPoint,
    FoldPad,
    Footprint,
    GroupChannels,
    JoinUnary,
    MaterializeOutputs,
    MergeClamps,
    MergeEqualCalls,
    PatchInference,
    ScheduleForMemory,
    ShareBuffers,
    plan_of,
)
from .transform.dataflow import Graph
from .transform.patch_network import constants_of, network_of

Lowered: TypeAlias = tuple[LoweredModel, Program, MemoryPlan]
SEARCHES = 3
"""Rounds of searching plans and lowering one; every round knows more of what kernels need."""
WORTH_LOWERING = 0.98
"""Estimated cost of a second plan that fits, as a share of the first one's, from which on it is not lowered."""


@dataclass(frozen=True)
class Stage:
    """What the graph costs after a pass; the first stage has the name IMPORTED and is the model as it came."""

    name: str
    footprint: Footprint


@dataclass(frozen=True)
class Compiled:
    """A lowered model with its memory plan.

    program: what the plan was made from.
    stages: the graph after every pass, in order.
    placement: what runs on the NPU, where there is one.
    """

    model: LoweredModel
    program: Program
    plan: MemoryPlan
    stages: tuple[Stage, ...]
    placement: Placement | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """`stages` as plain data; sizes in bytes."""
        return [
            {
                "name": stage.name,
                "layers": stage.footprint.calls,
                "macs": stage.footprint.macs,
                "weight_bytes": stage.footprint.weights,
                "activation_bytes": stage.footprint.activations,
                "arena_bytes": stage.footprint.arena,
            }
            for stage in self.stages
        ]


IMPORTED = "imported"


# Passes a target may leave out with -without=; the others decide what is computed or what lowering relies on.
OPTIONAL_PASSES = (
    "DropIdentity",
    "FoldConstantChannels",
    "FoldConstants",
    "FoldInputZeroPoint",
    "FoldPad",
    "JoinUnary",
    "MergeClamps",
    "MergeEqualCalls",
    "PatchInference",
    "ScheduleForMemory",
    "ShareBuffers",
)


def passes(config: TargetConfig) -> Sequence[Any]:
    """Graph passes in order, each with the reason for its place.

    Raises TargetError when the target leaves out a pass that does not exist or must run.
    """
    for name in config.without:
        if name not in OPTIONAL_PASSES:
            raise TargetError(
                f"-without={name}: not a pass that can be left out; those are {', '.join(OPTIONAL_PASSES)}"
            )
    every = (
        # The target says how products are rounded; everything after it computes with that.
        ApplyRounding(config.rounding),
        # Constants first: shapes of the patterns below become visible.
        FoldConstants(),
        # Identities hide the neighbours that the next two rewrites look for.
        DropIdentity(),
        # A padding operator costs a copy of its input; a convolution pads for nothing.
        FoldPad(),
        # Two functions of one element in a row cost two passes over the tensor; what is left may be a clamp.
        JoinUnary(),
        # An activation of its own costs a pass over the tensor; its producer clamps anyway.
        MergeClamps(),
        # Merging leaves reshapes of reshapes and unused producers behind.
        DropIdentity(),
        # After what only rewrites calls with one reader, of which it leaves fewer.
        MergeEqualCalls(),
        DeadCode(),
        # After FoldPad and MergeClamps, which decide what a border holds and which channels a clamp closes.
        FoldConstantChannels(),
        # After FoldPad: what is padded now keeps its zero point in the loop.
        FoldInputZeroPoint(),
        # After every rewrite that may make two outputs one tensor.
        MaterializeOutputs(),
        # An order of the calls that are left.
        ScheduleForMemory(io_in_arena=config.io == "arena"),
        # Last: it needs to know which tensors have bytes of their own, and what the order makes of memory.
        ShareBuffers(config.alignment, io_in_arena=config.io == "arena"),
    )
    return [one for one in every if one.info.name not in config.without]


def passes_for_plans(config: TargetConfig) -> list[Any]:
    """The passes that leave the module in whose terms patch plans speak."""
    return [*_common_passes(config), *_passes_after_common()]


def _common_passes(config: TargetConfig) -> list[Any]:
    """Those that modules for plans and for operators in turn begin with."""
    # Tensors inside other tensors have no rows of their own to stream.
    return [one for one in passes(config) if one.info.name != "ShareBuffers"]


def _passes_after_common() -> list[Any]:
    """Those that only modules for plans go through."""
    return [
        # A region may end in a reduction over the image, whose rows need not be there at once.
        AccumulatePixels(),
        # After AccumulatePixels: sums that would take more than all rows of what they are made of.
        GroupChannels(),
    ]


def compile_module(
    module: Any,
    config: TargetConfig,
    *,
    patch: PatchPlan | None = None,
    keep_all: bool = False,
    count: Count | None = None,
) -> Compiled:
    """Run the passes, lower and plan a module in the dialect.

    patch: regions to stream, in terms of the module that `passes_for_plans` leave; None: that of the module, if any,
        or else what the RAM budget needs.
    keep_all: give every tensor memory of its own until the end, so that all can be read after a run (debugging);
        the budgets do not apply then.
    count: runs every candidate of every layer, so that counted instructions decide instead of estimates.
    Raises PlanError when the arena and what is reserved for the stack exceed the target's RAM budget, or the constants
    its flash budget; code is measured when it is linked.
    """
    patch = patch or plan_of(module)
    if config.npu is not None:
        return _with_npu(module, config, patch, keep_all=keep_all, count=count)
    on_demand = patch is None and config.fetches
    limit = None if keep_all or patch is not None else config.arena_limit
    transformed = _Transformed(module, config)
    found = transformed.plain if patch is None and not on_demand else transformed.for_plans
    known: Known | None = None
    lowered = None
    if patch is None and not on_demand and not keep_all and _may_stream(config):
        known = {}
        plain = _lowered(found.module, config, None, known=known)
        patch = _plan_for_free(transformed, plain, config, known)
        if patch is not None:
            found = transformed.for_plans
        elif count is None:
            lowered = plain
    if lowered is None and not on_demand and (limit is None or found.stages[-1].footprint.arena <= limit):
        lowered = _lowered(found.module, config, patch, keep_all=keep_all, count=count, known=known)
    if lowered is None or (limit is not None and lowered[2].arena_bytes > limit):
        found = transformed.for_plans
        lowered = _search(found.module, config, count)
    compiled = Compiled(*lowered, found.stages)
    verify(compiled.program, compiled.plan)
    verify_overlaps(compiled.model, compiled.plan)
    for region in compiled.model.regions:
        verify_region(region.shape, region.buffers, compiled.plan)
        verify_block(region, plan=compiled.plan)
    if not keep_all:
        _check_budgets(compiled, config)
    return compiled


def _with_npu(
    module: Any, config: TargetConfig, patch: PatchPlan | None, *, keep_all: bool, count: Count | None
) -> Compiled:
    """Compile a module of which the NPU computes what it can; nothing streams then."""
    if patch is not None:
        raise PlanError("a patch plan streams operators on the CPU: leave it out, or -npu= from the target")
    offloaded = offload(module, config)
    found = _Transformed(offloaded.module, config).plain
    model, program, memory_plan = _lowered(found.module, config, None, keep_all=keep_all, count=count)
    model.placement = offloaded.placement.describe()
    compiled = Compiled(model, program, memory_plan, found.stages, offloaded.placement)
    verify(compiled.program, compiled.plan)
    if not keep_all:
        _check_budgets(compiled, config)
    return compiled


def _lowered(
    module: Any,
    config: TargetConfig,
    patch: PatchPlan | None,
    *,
    keep_all: bool = False,
    count: Count | None = None,
    known: Known | None = None,
) -> Lowered:
    """A cleaned-up module in the order of a plan, if there is one, as loops with their memory."""
    pulled: frozenset[str] = frozenset()
    if patch is not None:
        # After the passes, which know nothing of regions and may order the calls differently.
        module = PatchInference(patch)(module)
        patch = plan_of(module) or patch
        if config.fetches:
            network = network_of(Graph.read(module["main"]))
            pulled = pullable(network)
            check_fetched(network, patch, pulled)
    return lower_and_plan(module, config, patch, pulled=pulled, keep_all=keep_all, count=count, known=known)


def _search(module: Any, config: TargetConfig, count: Count | None) -> Lowered:
    """The model by the plan with the least estimated cost that keeps the budget, the scratch of its kernels included.

    What kernels need is known when a plan is lowered. The first plan leaves them as much as they may take. Then plans
    are searched again with what its kernels asked for: where that was more than there is, until a plan fits, and once
    where it was less, for a plan that clearly costs less. Of two that fit, the estimates of the schedules decide.
    """
    limit = config.arena_limit
    if limit is None:
        front = _front(module, config)
        return _lowered(module, config, front.within(front.plans[0].arena_bytes).plan, count=count)
    scratch: dict[str, int] = {}
    searched: PatchFront | None = None
    reserve = scratch_limit(config, streams=True)
    kept: tuple[float, Lowered] | None = None
    for _ in range(SEARCHES):
        try:
            searched = _front(module, config) if searched is None else searched.with_scratch(scratch)
            found = _within(searched, limit, reserve)
        except PlanError as error:
            if kept is not None:
                break
            raise PlanError(
                f"what the model needs exceeds the RAM of {config.ram_bytes:,} bytes, of which {STACK_BYTES:,} are for "
                f"the stack, and {error}"
            ) from None
        cost = found.cost
        fits = kept is not None and kept[1][2].arena_bytes <= limit
        if kept is not None and fits and cost >= WORTH_LOWERING * kept[0]:
            break
        lowered = _lowered(module, config, found.plan, count=count)
        if kept is None or _is_better(lowered, kept[1], limit):
            kept = cost, lowered
        if fits:
            break
        reserve = 0
        needed = scratch_of(lowered[0])
        scratch = {name: max(scratch.get(name, 0), needed.get(name, 0)) for name in scratch | needed}
    # Where nothing fits, the budget check says how close it came.
    assert kept is not None
    return kept[1]


def _is_better(new: Lowered, old: Lowered, limit: int) -> bool:
    """Whether a lowered model fits and executes less by estimate, or takes less memory where the other does not fit."""
    if old[2].arena_bytes > limit:
        return new[2].arena_bytes <= old[2].arena_bytes
    return new[2].arena_bytes <= limit and estimated_instructions(new[0]) < estimated_instructions(old[0])


def _within(front: PatchFront, limit: int, reserve: int) -> PlanFigures:
    """The plan with the least estimated cost that leaves `reserve` bytes of the limit, or else the least work in it.

    In the second case what it leaves is for the scratch of kernels, which bring more than rows do.
    """
    try:
        return front.within(limit - reserve)
    except PlanError:
        return front.taller(front.first_within(limit))


@dataclass(frozen=True)
class _Passed:
    """A module after some passes, and what each of them left."""

    module: Any
    stages: tuple[Stage, ...]

    def through(self, more: Sequence[Any], config: TargetConfig) -> _Passed:
        """The module after more passes."""
        module, stages = self.module, list(self.stages)
        for one in more:
            before, module = module, one(module)
            same = module["main"].same_as(before["main"])
            stages.append(Stage(one.info.name, stages[-1].footprint if same else _footprint(module, config)))
        return _Passed(module, tuple(stages))


class _Transformed:
    """A module after all passes, as operators in turn and as patch plans need it; each is made when it is wanted."""

    def __init__(self, module: Any, config: TargetConfig) -> None:
        self._config = config
        self._imported = _Passed(module, (Stage(IMPORTED, _footprint(module, config)),))

    @cached_property
    def _common(self) -> _Passed:
        return self._imported.through(_common_passes(self._config), self._config)

    @cached_property
    def plain(self) -> _Passed:
        """For operators in turn."""
        return self._common.through(passes(self._config)[len(self._common.stages) - 1 :], self._config)

    @cached_property
    def for_plans(self) -> _Passed:
        """For patch plans."""
        return self._common.through(_passes_after_common(), self._config)


def _footprint(module: Any, config: TargetConfig) -> Footprint:
    return Footprint.of(module, config.alignment, io_in_arena=config.io == "arena")


def _may_stream(config: TargetConfig) -> bool:
    """Whether a build may stream without need: nobody asked for little code, set a budget, or left the pass out."""
    limits = (config.ram_bytes, config.flash_bytes)
    return limits == (None, None) and config.opt != "size" and "PatchInference" not in config.without


def _plan_for_free(
    transformed: _Transformed, lowered: Lowered, config: TargetConfig, known: Known
) -> PatchPlan | None:
    """A plan that costs next to nothing, if there is one.

    lowered: what comes of the module without a plan. known: gets what schedule rules offer.
    """
    plain, module = transformed.plain.module, transformed.for_plans.module

    def of_plan(patch: PatchPlan) -> Estimate:
        return estimate(PatchInference(patch)(module), config, patch, known, lowered[0])

    network = network_of(Graph.read(module["main"]))
    settings = plan_settings(network, config)
    unpatched = replace(estimate(plain, config, None, known, lowered[0]), found=lowered[2].arena_bytes)
    most = int(most_bytes(unpatched, regions=1))
    plans = pareto_front(network, settings, max_factor=1.0, bands=False, settling=False, most=most)
    front = PatchFront(network, settings, tuple(plans), 1.0)
    wide = config.core.features & {"dsp", "mve", "rvv"}
    return costless_plan(front, unpatched, of_plan, PRICE if wide else SCALAR_PRICE)


def patch_front(
    module: Any,
    config: TargetConfig,
    *,
    max_factor: float = MAX_FACTOR,
    scratch: Mapping[str, int] | None = None,
) -> PatchFront:
    """Run the passes and search for patch plans: those between the least work and the smallest arena.

    Inputs that can be are fetched instead of lying in memory when the target says so.
    max_factor: bound on the work, as a multiple of the plain model's.
    scratch: bytes that kernels need beside the tensors, by layer; those of other layers are not known and not counted.
    Raises PlanError for a target with an NPU.
    """
    if config.npu is not None:
        raise PlanError("patch plans are for the CPU: leave -npu= out of the target")
    for one in passes_for_plans(config):
        module = one(module)
    return _front(module, config, max_factor=max_factor, scratch=scratch)


def _front(
    module: Any,
    config: TargetConfig,
    *,
    max_factor: float = MAX_FACTOR,
    scratch: Mapping[str, int] | None = None,
) -> PatchFront:
    """`patch_front` of a module that the passes have left."""
    graph = Graph.read(module["main"])
    network = network_of(graph, keeps_inputs=config.keeps_inputs)
    settings = plan_settings(network, config, scratch=scratch)
    of_call = CallInstructions(config, constants_of(graph))
    settings = replace(settings, costs=Instructions(network, of_call, moving(config), of_call.in_planes))
    return PatchFront.search(network, settings, max_factor=max_factor)


def plan_settings(
    network: Network, config: TargetConfig, *, scratch: Mapping[str, int] | None = None
) -> Settings:
    """What patch plans for a target are made for; scratch as in `patch_front`."""
    return Settings(
        alignment=config.alignment,
        io_in_arena=config.io == "arena",
        pulled=pullable(network) if config.fetches else frozenset(),
        whole_rows=config.input == "rows",
        scratch=scratch or {},
        setup_pixels=setup_pixels(config),
    )


def _check_budgets(compiled: Compiled, config: TargetConfig) -> None:
    memory_plan, constants = compiled.plan, compiled.model.constants
    limit = config.arena_limit
    if limit is not None and memory_plan.arena_bytes > limit:
        raise PlanError(
            f"the arena of {memory_plan.arena_bytes:,} bytes exceeds the RAM of {config.ram_bytes:,} bytes, of which "
            f"{STACK_BYTES:,} are for the stack (lower bound of this operator order: {memory_plan.lower_bound:,}). "
            f"{explain(compiled.program, memory_plan)}"
        )
    constant_bytes = sum(value.nbytes for value in constants.values())
    if config.flash_bytes is not None and constant_bytes > config.flash_bytes:
        raise PlanError(
            f"the constants of {constant_bytes:,} bytes exceed the flash of {config.flash_bytes:,} bytes, "
            "code not counted; choose a smaller model or a board with more flash"
        )
