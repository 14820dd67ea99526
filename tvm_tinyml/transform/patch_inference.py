"""PatchInference: put the calls into the order of a patch plan and mark the regions that stream rows and strips."""

from __future__ import annotations

from typing import Any

from tvm import ir
from tvm_ffi.error import register_error

from ..errors import PlanError
from ..patch import PatchPlan, Region, shape_region
from .dataflow import Call, Graph, Value
from .patch_network import network_of

PATCH_ATTR = "tinyml.patch"
# What a pass raises goes through TVM's C++, which knows the classes it is told of.
register_error("PlanError", PlanError)


def PatchInference(plan: PatchPlan) -> Any:  # noqa: N802
    """Needs a cleaned-up module; guarantees the order of `plan`, written to the attribute PATCH_ATTR for lowering.

    The calls stay what they are; only where the tensors inside a region live, and when their rows are made, changes.
    Raises PlanError when the plan does not fit the module or a region cannot be streamed.
    """
    return ir.transform.module_pass(
        lambda module, _context: _apply(module, plan), opt_level=0, name="PatchInference"
    )


def plan_of(module: Any) -> PatchPlan | None:
    """The plan that a module was given, or None."""
    attrs = module["main"].attrs
    return PatchPlan.from_json(str(attrs[PATCH_ATTR])) if attrs and PATCH_ATTR in attrs else None


def _apply(module: Any, plan: PatchPlan) -> Any:
    variable = module.get_global_var("main")
    function = module[variable]
    graph = Graph.read(function)
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
