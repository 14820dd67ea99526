"""Move the receptive field of a PyTorch network out of the stage that runs patch by patch, and train what changed.

Method: MCUNetV2 (Lin et al., NeurIPS 2021), where an architecture with a smaller early receptive field is designed and
trained anew; here a trained network is changed, starting from the weights it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from ..errors import PlanError, UnsupportedError
from ..frontend import from_pytorch
from ..patch import PatchPlan
from ..patch.choice import PatchFront
from ..patch.footprint import footprint
from ..patch.network import Network
from ..patch.patches import patched_stages
from ..pipeline import passes_for_plans, plan_settings
from ..target import TargetConfig, parse_target
from ..transform.dataflow import Graph
from ..transform.kernels import convolutions as convolutions_of
from ..transform.patch_network import network_of
from ..transform.redistribution import REDUCTION, STRIDE_MOVES, Figures, Proposal, StrideMoves, propose
from .distillation import Batch, distill
from .kernels import UNCHANGED, Taps, convolutions, fit, resized
from .post_training import quantize

Plans: TypeAlias = Literal["patches", "streamed"]
_SEARCHES: dict[str, Callable[..., PatchFront]] = {"patches": patched_stages, "streamed": PatchFront.search}
_OBSERVED = 8
"""Images that set the quantisation of a module whose plan is asked for; the plan depends on them hardly at all."""


@dataclass(frozen=True)
class Stage:
    """A network on its way.

    accuracy: what the caller's function says; None without one.
    """

    name: str
    figures: Figures
    accuracy: float | None


@dataclass(frozen=True)
class Redistribution:
    """A network with smaller kernels in its patched stage and larger ones behind it, or strides elsewhere.

    module: in evaluation; fine-tuned if there was something to train with.
    changes: taps that kernels got or lost at the top, left, bottom and right, by the names of their layers.
    strides: of the layers that got other ones.
    errors: of every fitted layer, before and after its fit: squares of the difference to the original's result, over
        those of the result around its means.
    stages: before, initialised, fine-tuned. plan: of the last one, as `relay.build(..., patch=plan)` takes it.
    """

    module: nn.Module
    changes: dict[str, Taps]
    strides: dict[str, tuple[int, int]]
    errors: dict[str, tuple[float, float]]
    stages: tuple[Stage, ...]
    plan: PatchPlan

    @property
    def overhead_cut(self) -> float:
        """Part of the repeated work, as a fraction of the plain network's work, that is gone."""
        first, last = self.stages[0].figures, self.stages[-1].figures
        return 1 - (last.factor - 1) / (first.factor - 1)

    def table(self) -> str:
        """The stages as a Markdown table."""
        lines = [
            "| | receptive field | halo | F | MACs | peak RAM | accuracy |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for stage in self.stages:
            one = stage.figures
            right = "" if stage.accuracy is None else f"{100 * stage.accuracy:.2f} %"
            lines.append(
                f"| {stage.name} | {_pair(one.receptive_field)} | {_pair(one.halo)} | {one.factor:.3f} | "
                f"{one.macs:,} | {one.arena_bytes:,} | {right} |"
            )
        return "\n".join(lines)


def _pair(extent: tuple[int, int]) -> str:
    return f"{extent[0]} x {extent[1]}"


def redistribute(
    module: nn.Module,
    example_input: Tensor,
    *,
    ram_budget: int,
    calibration: Tensor,
    training: Iterable[Batch] | None = None,
    accuracy: Callable[[nn.Module], float] | None = None,
    target: Any = "tinyml -mcpu=cortex-m4",
    plans: Plans = "patches",
    reduction: float = REDUCTION,
    strides: StrideMoves = "last",
    epochs: int = 10,
    learning_rate: float = 1e-3,
) -> Redistribution:
    """Change kernels and strides so that the patches of a plan repeat less work in the same memory, and train again.

    The network is quantised and planned for the target. Kernels of its patched stage are cut one after the other, the
    one first that saves most, and later kernels grow until the receptive field is at least what it was. Where that is
    not enough a stride moves from one layer to another, so that the maps between both get smaller or larger and all
    others stay. Grown kernels get zeros; changed ones, and the convolutions behind them, get weights by least squares
    on `calibration`. Then the network learns to answer as the original does (`distill`). `module` itself stays as it
    is.

    Args:
        module: a classifier of images with `torch.nn.Conv2d` layers, trained.
        example_input: images [N, C, H, W], the first of which is used.
        ram_budget: bytes of the arena, scratch of kernels not counted, that the plan may take.
        calibration: images [N, C, H, W] like those in use, a hundred or so.
        training: batches of images, or of images and classes, gone through once per epoch; None: no fine-tuning.
        accuracy: of a network in evaluation, a fraction; measured before, after initialisation and after fine-tuning.
        target: what is compiled for, as `relay.build` takes it.
        plans: "patches", a first stage in patches that compute their overlap each for itself, or "streamed", which
            searches all that `-ram=` can build and takes minutes for a network of average size.
        reduction: part of the repeated work after which nothing more is cut.
        strides: "last", they move where cut kernels do not take `reduction` away; "alike", they compete with kernels
            from the start; "never".
        epochs, learning_rate: of the fine-tuning.

    Raises:
        PlanError: no plan keeps the budget, the plan repeats no work, nothing in the patched stage can be cut or moved,
            or no change lowers the repeated work.
        UnsupportedError: the network cannot be quantised into integer operators, or its convolutions are not plain
            layers that run once.
    """
    config = parse_target(target)
    if strides not in STRIDE_MOVES:
        raise PlanError(f"redistribute: strides {strides!r} are not one of {', '.join(STRIDE_MOVES)}")
    if plans not in _SEARCHES:
        raise PlanError(f"redistribute: plans {plans!r} do not exist; choose from {', '.join(_SEARCHES)}")
    original = resized(module, {}).eval()
    names = convolutions(original, example_input[:1])
    function, layers = _imported(original, calibration, config)
    if len(layers) != len(names):
        raise UnsupportedError(
            f"redistribute: the network computes {len(layers)} convolutions and has {len(names)} layers for them; "
            "use a torch.nn.Conv2d for each"
        )
    module_of = dict(zip(layers, names, strict=True))

    def search(network: Network) -> PatchFront:
        return _SEARCHES[plans](network, plan_settings(network, config))

    proposal = propose(function, search, ram_budget, reduction=reduction, strides=strides)
    changes = {module_of[one.layer]: one.taps for one in proposal.changes if one.taps != UNCHANGED}
    moved = {module_of[one.layer]: one.strides for one in proposal.changes if one.strides is not None}
    changed = resized(original, changes, moved)
    inexact = {module_of[one.layer] for one in proposal.changes if not one.grows}
    first = next(index for index, name in enumerate(names) if name in inexact)
    fits = {name: fit(changed, original, name, calibration) for name in names[first:]}
    errors = {name: error for name, error in fits.items() if error is not None}
    stages = [
        Stage("before", proposal.before, _measured(accuracy, original)),
        Stage("initialised", proposal.after, _measured(accuracy, changed)),
    ]
    if training is not None:
        distill(changed, original, training, epochs=epochs, learning_rate=learning_rate)
    final, plan = _planned(changed, calibration, config, search, proposal)
    if training is not None:
        stages.append(Stage("fine-tuned", final, _measured(accuracy, changed)))
    return Redistribution(changed, changes, moved, errors, tuple(stages), plan)


def _measured(accuracy: Callable[[nn.Module], float] | None, module: nn.Module) -> float | None:
    if accuracy is None:
        return None
    with torch.no_grad():
        return float(accuracy(module))


def _imported(module: nn.Module, calibration: Tensor, config: TargetConfig) -> tuple[Any, list[str]]:
    """The quantised network as patch plans need it, and the names of its convolutions as they were imported."""
    found, _ = from_pytorch(quantize(module, calibration[:_OBSERVED]).program, float_edges=False)
    names = [call.attrs["name"] for call in convolutions_of(Graph.read(found["main"]))]
    for one in passes_for_plans(config):
        found = one(found)
    return found["main"], names


def _planned(
    module: nn.Module,
    calibration: Tensor,
    config: TargetConfig,
    search: Callable[[Network], PatchFront],
    proposal: Proposal,
) -> tuple[Figures, PatchPlan]:
    """The plan with the least work for a network, in the memory of the plan that it had before."""
    function, _ = _imported(module, calibration, config)
    network = network_of(Graph.read(function))
    limit = proposal.before.arena_bytes
    front = search(network)
    fitting = [one for one in front.plans if one.arena_bytes <= limit]
    # A search that thins out its candidates may miss the plan there was.
    kept = footprint(network, proposal.plan, front.settings)
    found = min([*fitting, kept], key=lambda one: (one.macs, one.arena_bytes))
    return Figures.of(network, found), found.plan
