"""What the tests of streamed regions share: plans for ranges of a module's calls, and modules to make them for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import tvm

from tests.transform.building import ModuleBuilder
from tvm_tinyml.codegen.streaming import StreamedRegion
from tvm_tinyml.dialect import operator_of
from tvm_tinyml.dialect.relax_api import attributes
from tvm_tinyml.patch import PatchPlan, Region
from tvm_tinyml.patch.network import Network
from tvm_tinyml.patch.region import shape_region
from tvm_tinyml.pipeline import passes_for_plans
from tvm_tinyml.target import parse_target

WHOLE = 10**6


def cleaned(module: Any, target: str) -> Any:
    """The module in whose terms plans speak."""
    return tvm.transform.Sequential(passes_for_plans(parse_target(target)))(module)


def calls(module: Any) -> list[str]:
    """Names of the calls, in order."""
    return [
        attributes(binding.value)["name"]
        for block in module["main"].body.blocks
        for binding in block.bindings
        if operator_of(binding.value) is not None
    ]


def plan_for(
    module: Any, target: str, *ranges: tuple[int, int], rows: int = 1, strip: int = WHOLE
) -> PatchPlan:
    """One region for each range of calls (first, last); every operator makes `rows` rows per call."""
    order = tuple(calls(cleaned(module, target)))
    regions = []
    for first, last in ranges:
        names = order[first : last + 1]
        regions.append(Region(names, strip, dict.fromkeys(names, rows)))
    return PatchPlan(order, tuple(regions))


def unlowered(
    net: Network, region: Region, alignment: int, pulled: frozenset[str] = frozenset()
) -> StreamedRegion:
    """A region as it will be printed, but for the functions of its layers and what they need besides."""
    shape = shape_region(net.chosen(region), region, pulled)
    return StreamedRegion("region", shape, (), ((),) * len(region.operators), alignment)


def named(builder: ModuleBuilder, outputs: Sequence[Any]) -> Any:
    """The builder's module as the importer would have named it."""
    module = builder.module(*outputs)
    function = module["main"]
    signature = json.loads(function.attrs["tinyml.signature"]) | {"name": "net"}
    return tvm.IRModule({"main": function.with_attr("tinyml.signature", json.dumps(signature))})
