"""metadata.json: everything a program may want to know of a generated project, without parsing C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tvm_tinyml import __version__
from tvm_tinyml.memory import MemoryPlan, lifetimes, plan_in_pieces
from tvm_tinyml.target import TargetConfig
from tvm_tinyml.target.config import STACK_BYTES

from .layer import Layer
from .model import LoweredModel, TensorInfo
from .order import Repetition
from .pull_source import demand
from .sources import source_files
from .streaming import StreamedRegion

FORMAT = 1


def metadata(
    model: LoweredModel, memory_plan: MemoryPlan, config: TargetConfig, history: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Description of one generated project; sizes and offsets in bytes.

    history: what the graph cost after every pass.
    Under `memory`, `stack_bytes` is what budgets reserve; a run on an emulated board measures it.
    A tensor's memory holds it from layer `first_layer` to `last_layer`, both included; -1 is before the first.
    """
    first, last = _layers_of_calls(model)
    offsets = memory_plan.offsets
    in_arena = config.io == "arena"
    program = model.program(config.alignment, io_in_arena=in_arena)
    tensors = model.without_scratch().program(config.alignment, io_in_arena=in_arena)
    without_scratch = memory_plan.arena_bytes
    if tensors != program:
        _, bare = plan_in_pieces(tensors, method=config.planner, keep_all=memory_plan.keep_all)
        # Neither need be the least; what fits with scratch fits without.
        without_scratch = min(without_scratch, bare.arena_bytes)
    lives = lifetimes(program, keep_all=memory_plan.keep_all)
    return {
        "format": FORMAT,
        "generator": f"tvm-tinyml {__version__}",
        "model": model.name,
        "target": str(config),
        "core": config.core.name,
        "family": config.core.family,
        "features": sorted(config.core.features),
        "rounding": config.rounding,
        "io": config.io,
        "input": config.input,
        "entry": f"{model.name}_run",
        "sources": list(source_files(model)),
        "include_dirs": ["include"],
        "arena_bytes": memory_plan.arena_bytes,
        "arena_alignment": config.alignment,
        "inputs": [
            _tensor(info) | {"offset": offsets.get(info.name), "pulled": _pulled(model, info)}
            for info in model.inputs
        ],
        "outputs": [_tensor(info) | {"offset": offsets.get(info.name)} for info in model.outputs],
        "layers": [_layer(model, memory_plan, layer) for layer in model.layers],
        "tensors": [
            _tensor(info)
            | {
                "offset": offsets[name],
                "view_of": model.views[name][0] if name in model.views else None,
                "first_layer": first[lives[model.root(name)].first],
                "last_layer": last[lives[model.root(name)].last],
            }
            for name, info in model.tensors.items()
            if name in offsets
        ],
        "regions": [_region(region, memory_plan) for region in model.regions],
        "memory": {
            "arena_bytes": memory_plan.arena_bytes,
            "without_scratch_bytes": without_scratch,
            "scratch_bytes": memory_plan.arena_bytes - without_scratch,
            "stack_bytes": STACK_BYTES,
            "ram_bytes": memory_plan.arena_bytes + STACK_BYTES,
            "ram_budget_bytes": config.ram_bytes,
            "lower_bound_bytes": memory_plan.lower_bound,
            "method": memory_plan.method,
            "optimal": memory_plan.optimal,
        },
        "npu": None if model.placement is None else dict(model.placement),
        "passes": [dict(stage) for stage in history],
        "macs": sum(layer.macs for layer in model.layers),
        "constant_bytes": sum(value.nbytes for value in model.constants.values()),
        "weight_constant_bytes": _weight_constant_bytes(model),
    }


def _pulled(model: LoweredModel, info: TensorInfo) -> dict[str, Any] | None:
    """What an inference asks for of an input that is fetched on demand; None for one that is held.

    row_fetches: from the top, how many rows are asked for how often.
    """
    if info.name not in model.pulled:
        return None
    found = demand(model, info)
    return {
        "requests": len(found.requests),
        "requested_bytes": found.nbytes,
        "row_fetches": [{"rows": rows, "times": times} for rows, times in found.fetches],
    }


def _weight_constant_bytes(model: LoweredModel) -> int:
    """Bytes of what the layers that multiply read: weights, biases, factors; tables of other layers are not in it."""
    names = {
        name for layer in model.layers if layer.macs for name in layer.arguments if name in model.constants
    }
    return sum(model.constants[name].nbytes for name in names)


def _layers_of_calls(model: LoweredModel) -> tuple[dict[int, int], dict[int, int]]:
    """First and last layer of each call of the entry function, by the call's number; -1 and the end included."""
    first, last = {-1: -1}, {-1: -1}
    for number, call in enumerate(model.calls):
        layers = call.layers if isinstance(call, StreamedRegion) else (call,)
        first[number], last[number] = layers[0].index, layers[-1].index
    first[len(model.calls)] = last[len(model.calls)] = len(model.layers)
    return first, last


def _region(region: StreamedRegion, plan: MemoryPlan) -> dict[str, Any]:
    """A streamed region.

    `calls` are numbers in its `layers`, one beyond them fetches or fills a row; that of the first layer of a segment
    stands for the calls of one band.
    """
    layers = len(region.layers)
    return {
        "function": region.symbol,
        "layers": [layer.index for layer in region.layers],
        "strips": region.shape.strips,
        "calls": _order(region.order, range(layers + 2 * len(region.shape.operations))),
        "segments": [
            {
                "function": segment.symbol,
                "layer": region.starts[index],
                "calls": _order(segment.order, _numbers(region, index)),
            }
            for index, segment in region.segments.items()
        ],
        "macs": region.shape.macs,
        "buffers": [
            {"name": buffer.name, "bytes": buffer.nbytes, "offset": plan.scratch_offsets[buffer.name]}
            for buffer in region.buffers
        ],
    }


def _numbers(region: StreamedRegion, index: int) -> list[int]:
    """Numbers in a region of what one of its segments calls: layers, and then what fills columns."""
    own = len(region.segments[index].layers)
    return [*range(region.starts[index], region.starts[index] + own), *[len(region.layers)] * own]


def _order(order: Repetition, numbers: Sequence[int]) -> dict[str, Any]:
    """An order of calls, its entries replaced by `numbers`."""
    return {
        "first": [numbers[entry] for entry in order.first],
        "repeated": [numbers[entry] for entry in order.repeated],
        "times": order.times,
        "last": [numbers[entry] for entry in order.last],
    }


def _tensor(info: TensorInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "dtype": info.spec.dtype,
        "shape": list(info.spec.shape),
        "bytes": info.spec.nbytes,
        "scale": info.scale,
        "zero_point": info.zero_point,
    }


def _layer(model: LoweredModel, memory_plan: MemoryPlan, layer: Layer) -> dict[str, Any]:
    output = model.tensors[layer.output]
    constants = [model.constants[name] for name in layer.arguments if name in model.constants]
    return {
        "index": layer.index,
        "name": layer.name,
        "operator": layer.operator,
        "function": layer.function,
        "schedule": layer.schedule,
        "inputs": [name for name in layer.arguments if name in model.tensors],
        "output_tensor": layer.output,
        "shape": list(output.spec.shape),
        "dtype": output.spec.dtype,
        "scale": output.scale,
        "zero_point": output.zero_point,
        "macs": layer.macs,
        "share_inside": round(layer.share_inside, 4),
        "constant_bytes": sum(value.nbytes for value in constants),
        "alternatives": [asdict(one) for one in layer.alternatives],
        "scratch": [
            {"name": buffer.name, "bytes": buffer.nbytes, "offset": memory_plan.scratch_offsets[buffer.name]}
            for buffer in layer.scratch
        ],
    }
