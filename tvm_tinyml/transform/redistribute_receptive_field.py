"""RedistributeReceptiveField: kernels and strides chosen so that the patches of a plan repeat less work."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from tvm import ir

from ..patch.choice import PatchFront
from ..patch.footprint import Settings
from ..patch.network import Network
from ..patch.patches import patched_stages
from .kernels import Resize
from .redistribution import REDUCTION, Proposal, StrideMoves, propose, resized

REDISTRIBUTION_ATTR = "tinyml.redistribution"
_LOG = logging.getLogger(__name__)


def RedistributeReceptiveField(  # noqa: N802
    changes: Iterable[Resize] | None = None,
    *,
    ram_budget: int | None = None,
    reduction: float = REDUCTION,
    strides: StrideMoves = "last",
    settings: Settings | None = None,
    search: Callable[[Network, Settings], PatchFront] = patched_stages,
) -> Any:
    """Needs a cleaned-up module; guarantees equal outputs, and that the module says what should change.

    Kernels that are to grow get zeros, kernels that are to shrink lose the taps that are zeros: both change nothing.
    What remains, strides that move included, needs training (`tvm_tinyml.torch.redistribute`) and is left in the
    attribute REDISTRIBUTION_ATTR, which `proposed` reads.

    changes: of kernels and strides. Without them the pass proposes (see `redistribution.propose`):
    ram_budget: bytes of the arena that the patch plan may take, scratch of kernels not counted.
    reduction: part of the repeated work that is to go. strides: whether those move, see `propose`.
    settings, search: what plans are made for, and where they come from; plans of one patched stage by default.

    Raises PlanError when no plan keeps the budget, no change helps, or changes do not fit the module; ValueError for
    changes together with a budget, or neither.
    """
    if (changes is None) == (ram_budget is None):
        raise ValueError(
            "RedistributeReceptiveField: pass either changes or a ram_budget to propose some for"
        )
    given = None if changes is None else tuple(changes)

    def transform(module: Any, _context: Any) -> Any:
        variable = module.get_global_var("main")
        function = module[variable]
        wanted = given
        if wanted is None:
            assert ram_budget is not None
            wanted = proposal_for(
                module, ram_budget, reduction=reduction, strides=strides, settings=settings, search=search
            ).changes
        _, inexact = resized(function, wanted)
        exact = [change for change in wanted if change not in inexact]
        graph, _ = resized(function, exact)
        _LOG.info("RedistributeReceptiveField: %d changes, %d left to training", len(exact), len(inexact))
        text = json.dumps([[change.layer, change.taps, change.strides] for change in inexact])
        result = module.clone()
        result.update_func(variable, graph.write(function).with_attr(REDISTRIBUTION_ATTR, text))
        return result

    return ir.transform.module_pass(transform, opt_level=0, name="RedistributeReceptiveField")


def proposal_for(
    module: Any,
    ram_budget: int,
    *,
    reduction: float = REDUCTION,
    strides: StrideMoves = "last",
    settings: Settings | None = None,
    search: Callable[[Network, Settings], PatchFront] = patched_stages,
) -> Proposal:
    """What the pass would propose for a cleaned-up module, with the figures; PlanError as the pass."""
    wanted = settings or Settings()
    return propose(
        module["main"],
        lambda network: search(network, wanted),
        ram_budget,
        reduction=reduction,
        strides=strides,
    )


def proposed(module: Any) -> list[Resize]:
    """Changes that the pass left to training; none where it did not run."""
    attrs = module["main"].attrs
    rows = json.loads(str(attrs[REDISTRIBUTION_ATTR])) if attrs and REDISTRIBUTION_ATTR in attrs else []
    return [
        Resize(layer, tuple(taps), None if strides is None else tuple(strides))
        for layer, taps, strides in rows
    ]


__all__ = ["RedistributeReceptiveField", "proposal_for", "proposed"]
