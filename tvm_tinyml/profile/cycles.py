"""Estimated cycles of one inference, from exact execution counts and a model of the core.

QEMU counts instructions and knows no time. The executed code is cut into straight runs of equal count, llvm-mca
prices each run once, and the price is multiplied by the count: deterministic, the same on every machine. It knows
nothing of flash wait states, caches and the refill of the pipeline behind a taken branch, and LLVM's model of a core
is taken as it is; what it is known to leave out, the length of register lists, stands beside it as a figure of its
own. It is always to be called an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tvm_tinyml.errors import RunError
from tvm_tinyml.profile import vector_groups
from tvm_tinyml.profile.attribution import Cost, layer_costs, summed_by_function
from tvm_tinyml.profile.listing import Stretch, read_listing
from tvm_tinyml.profile.llvm import LlvmTools, llvm_tools
from tvm_tinyml.profile.mca import MODELLED_CORES, price
from tvm_tinyml.profile.register_lists import extra_cycles
from tvm_tinyml.profile.runs import Run, called_functions, straight_runs
from tvm_tinyml.runner.report import LayerCount, RunReport
from tvm_tinyml.target import CoreConfig, TargetConfig


@dataclass(frozen=True)
class LayerCycles:
    """Estimated cycles of one layer; `register_lists` as in `CycleEstimate`."""

    name: str
    function: str
    cycles: int
    register_lists: int


@dataclass(frozen=True)
class CycleEstimate:
    """Estimated cycles of one inference and of its layers.

    Of `total`, what the entry function spends before the first layer is in no layer. A C function that only one
    layer function calls belongs to that layer; what several call (memset, division) is divided by the number
    of instructions, as are the cycles of a function that several layers share.

    method: what priced the instructions, for reports.
    register_lists: cycles to add for loads and stores of several registers, which LLVM's models take as one cycle
        each (register_lists.py); not in `total`.
    unknown: executed instructions that the model does not know; one cycle each is in the total.
    """

    total: int
    layers: tuple[LayerCycles, ...]
    method: str
    register_lists: int
    unknown: int


def has_model(core: CoreConfig) -> bool:
    """Whether cycles can be estimated for `core`."""
    return core.name in MODELLED_CORES or "rvv" in core.features


def estimate_cycles(report: RunReport, config: TargetConfig) -> CycleEstimate | None:
    """Estimate the cycles of a run with address counts and a kept firmware; None for cores without a model.

    RunError when the report lacks either, or LLVM's tools are missing; BuildError when they fail.
    """
    if not has_model(config.core):
        return None
    if report.elf is None or report.address_counts is None:
        raise RunError("estimated cycles need a run with address_counts and keep_elf")
    tools = llvm_tools()
    listing = read_listing(report.elf, config.core, tools)
    return estimate_listing(listing, report.address_counts, report.layers, config.core, tools)


def estimate_listing(
    listing: Sequence[Stretch],
    counts: Mapping[int, int],
    layers: Sequence[LayerCount],
    core: CoreConfig,
    tools: LlvmTools,
) -> CycleEstimate:
    """Estimate the cycles of an executed program given as its disassembly; errors as `estimate_cycles`."""
    if core.name in MODELLED_CORES:
        costs = _priced(list(straight_runs(listing, counts)), core, tools)
        method = f"llvm-mca {tools.version}, model of {core.name}"
    else:
        costs = vector_groups.function_costs(listing, counts)
        method = vector_groups.METHOD
    total = sum(costs.values(), start=Cost())
    # Code that the disassembler did not recognise as such.
    unlisted = sum(counts.values()) - total.instructions
    return CycleEstimate(
        total=round(total.cycles + unlisted),
        layers=tuple(
            LayerCycles(layer.name, layer.function, round(cost.cycles), round(cost.transfers))
            for layer, cost in zip(layers, layer_costs(costs, called_functions(listing), layers), strict=True)
        ),
        method=method,
        register_lists=round(total.transfers),
        unknown=round(total.unknown + unlisted),
    )


def _priced(runs: Sequence[Run], core: CoreConfig, tools: LlvmTools) -> dict[str, Cost]:
    prices = price((run.texts for run in runs), core, tools)

    def once(texts: tuple[str, ...]) -> Cost:
        transfers = sum(extra_cycles(text, core.name) for text in texts)
        return Cost(len(texts), prices[texts].cycles, transfers, prices[texts].unknown)

    return summed_by_function((run.function, once(run.texts) * run.count) for run in runs)
