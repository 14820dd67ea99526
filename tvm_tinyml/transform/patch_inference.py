"""PatchInference: put the calls into the order of a patch plan and mark the regions that stream rows and strips."""

from __future__ import annotations

from typing import Any

from tvm import ir
from tvm_ffi.error import register_error

from ..errors import PlanError
from ..patch import PatchPlan, Region, shape_region
from ..patch.choice import PatchFront
from ..patch.footprint import Settings
from ..patch.search import MAX_FACTOR
from .dataflow import Call, Graph, Value
from .patch_network import network_of

PATCH_ATTR = "tinyml.patch"
# What a pass raises goes through TVM's C++, which knows the classes it is told of.
register_error("PlanError", PlanError)


def PatchInference(  # noqa: N802
    plan: PatchPlan | None = None,
    *,
    ram_budget: int | None = None,
    max_overhead: float | None = None,
    settings: Settings | None = None,
) -> Any:
    """Needs a cleaned-up module; guarantees the order of a plan, written to the attribute PATCH_ATTR for lowering.

    The calls stay what they are; only where the tensors inside a region live, and when their rows are made, changes.

    plan: taken as it is. Without one the pass searches (see `patch.choice.PatchFront`):
    ram_budget: bytes; the plan with the least work whose arena, scratch of kernels not counted, is no larger.
    max_overhead: most work to repeat, as a fraction of the plain network's multiply-accumulates; without a
        budget the plan with the smallest arena is taken.
    settings: what the search counts; every tensor in the arena by default.

    Raises PlanError when the plan does not fit the module, a region cannot be streamed, or no plan keeps the limits;
    ValueError for a plan together with limits, or neither.
    """
    limits = (ram_budget, max_overhead)
    if (plan is None) == (limits == (None, None)):
        raise ValueError(
            "PatchInference: pass a plan, or limits for the search of one (ram_budget, max_overhead)"
        )

    def transform(module: Any, _context: Any) -> Any:
        if plan is not None:
            return _apply(module, plan)
        factor = MAX_FACTOR if max_overhead is None else 1 + max_overhead
        network = network_of(Graph.read(module["main"]))
        front = PatchFront.search(network, settings or Settings(), max_factor=factor)
        found = front.smallest(factor) if ram_budget is None else front.within(ram_budget)
        return _apply(module, found.plan)

    return ir.transform.module_pass(transform, opt_level=0, name="PatchInference")


def plan_of(module: Any) -> PatchPlan | None:
    """The plan that a module was given, or None."""
    attrs = module["main"].attrs
    return PatchPlan.from_json(str(attrs[PATCH_ATTR])) if attrs and PATCH_ATTR in attrs else None


def _apply(module: Any, plan: PatchPlan) -> Any:
    variable = module.get_global_var("main")
    function = module[variable]
    graph = Graph.read(function)
    if not plan.order:
        plan = PatchPlan(tuple(str(node.attrs["name"]) for node in graph.calls), plan.regions)
    _reorder(graph, plan)
    nodes = {node.name: node for node in network_of(graph).nodes}
    for region in plan.regions:
        _check_inside(graph, region)
        shape_region([nodes[name] for name in region.operators], region)
    result = module.clone()
    result.update_func(variable, graph.write(function).with_attr(PATCH_ATTR, plan.to_json()))
    return result


def _reorder(graph: Graph, plan: PatchPlan) -> None:
    calls = {node.attrs["name"]: node for node in graph.calls}
    if different := calls.keys() ^ set(plan.order):
        raise PlanError(
            f"patch plan: made for another module, different calls: {', '.join(sorted(different))}; "
            "plan the module as the other passes leave it"
        )
    done: set[Value] = set()
    for name in plan.order:
        for source in calls[name].inputs:
            if isinstance(source, Call) and source not in done:
                raise PlanError(
                    f"patch plan: {name!r} comes before {source.attrs['name']!r}, whose result it reads"
                )
        done.add(calls[name])
    graph.calls = [calls[name] for name in plan.order]


def _check_inside(graph: Graph, region: Region) -> None:
    """Only the last tensor of a region may be read outside it."""
    for node in graph.calls:
        if node.attrs["name"] not in region.operators[:-1]:
            continue
        readers = [reader.attrs["name"] for reader in graph.users(node)]
        outside = [name for name in readers if name not in region.operators]
        if outside or graph.is_output(node) or not readers:
            who = repr(outside[0]) if outside else "the caller" if graph.is_output(node) else "nobody"
            raise PlanError(
                f"patch plan: {node.attrs['name']!r} of region {region.operators[0]!r} to "
                f"{region.operators[-1]!r} is read by {who}; end the region there or extend it"
            )
