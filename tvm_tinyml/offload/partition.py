"""The graph with networks on the NPU in the place of the operators that they compute.

It is cut where it still has the operators of the model file, whose meaning a .tflite file of a part keeps exactly:
quantisation, ranges of activations, paddings. Everything that passes do later concerns the CPU's part only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dialect import operator as operator_named
from ..dialect.relax_api import TensorSpec
from ..errors import ModelError, PlanError, TargetError
from ..ethosu import CompiledNetwork, Setup
from ..frontend.tflite import (
    CONVERSIONS,
    Emitter,
    Graph,
    Layer,
    Operator,
    Temporary,
    Tensor,
    attributes_of,
    source_of,
)
from ..target import NpuConfig, TargetConfig
from .choice import compiled, part_of, refused, refused_in_part, unfit
from .operator import NAME
from .regions import levels
from .report import Network, Placement

_FREE = "it moves nothing: no more than another name on the CPU"
_SCRATCH_REGION = 1
_ALIGNMENT = 16
Layers = Sequence[Layer]


@dataclass(frozen=True)
class Offloaded:
    """A module with networks on the NPU, and what runs where."""

    module: Any
    placement: Placement


def offload(module: Any, config: TargetConfig) -> Offloaded:
    """Replace what the target's NPU computes by networks.

    Needs the module as a frontend made it, and a target with an NPU. Guarantees that every tensor outside the networks
    keeps its name; values are those of the operators rounded as TFLite Micro rounds.
    Raises PlanError for a module that was changed, TargetError where the target names no operator to ignore, ModelError
    where Vela is missing or fails.
    """
    source = source_of(module)
    if source is None:
        raise PlanError(
            "offloading to an NPU starts from the operators of a model file: pass the module as the importer gave it"
        )
    assert config.npu is not None
    graph = source.graph
    setup = _setup(config.npu, config)
    planned = {operator.index: layers for operator, layers in source.planned}
    _check_ignored(config.npu_ignore)
    regions, on_cpu = _regions(graph, setup, planned)
    emitted: list[tuple[Operator, Layers]] = []
    networks = []
    for operators, network in regions:
        if network is None:
            emitted += [(operator, planned[operator.index]) for operator in operators]
            continue
        call = Operator(operators[0].index, "ETHOS_U", (), (), {})
        emitted.append(
            (call, _layers(part_of(graph, operators), network, _macs(operators, planned), config.npu))
        )
        networks.append(Network(f"{NAME}_{call.index}_0", tuple(map(str, operators)), network))
    placement = Placement(
        config.npu.name,
        config.npu_memory,
        tuple(networks),
        {str(operator): on_cpu[operator.index] for operator in graph.operators if operator.index in on_cpu},
        _warnings(regions, planned, config),
    )
    return Offloaded(Emitter(graph, source.name).module(emitted), placement)


def _check_ignored(kinds: Sequence[str]) -> None:
    unknown = [kind for kind in kinds if kind not in CONVERSIONS]
    if unknown:
        raise TargetError(
            f"-npu-ignore={unknown[0]}: not a TFLite operator that can be imported (see `tvm-tinyml ops`)"
        )


def _setup(npu: NpuConfig, config: TargetConfig) -> Setup:
    return Setup(npu.name, dict(npu.memory)[config.npu_memory], config.npu_memory, config.npu_ignore)


def _regions(
    graph: Graph, setup: Setup, planned: Mapping[int, Layers]
) -> tuple[list[tuple[list[Operator], CompiledNetwork | None]], dict[int, str]]:
    """Operators in an order of execution, those of a network together with it; and why others stay on the CPU."""
    if not setup.ignore and all(unfit(operator) is None for operator in graph.operators):
        # The usual case, and one run of Vela.
        whole = compiled(part_of(graph, graph.operators), setup)
        if isinstance(whole, CompiledNetwork):
            return [(list(graph.operators), whole)], {}
    on_cpu = refused(graph, setup)
    while True:
        parts = _parts(graph, on_cpu)
        free = [part for part in parts if part[0].index not in on_cpu and _is_free(part, planned)]
        on_cpu |= {operator.index: _FREE for part in free for operator in part}
        found: list[tuple[list[Operator], CompiledNetwork | None]] = []
        more: dict[int, str] = {}
        for part in _parts(graph, on_cpu):
            network = None if part[0].index in on_cpu else compiled(part_of(graph, part), setup)
            if isinstance(network, ModelError):
                more |= refused_in_part(part_of(graph, part), setup, network)
            else:
                found.append((part, network))
        if not more:
            return found, on_cpu
        on_cpu |= more


def _parts(graph: Graph, on_cpu: Mapping[int, str]) -> list[list[Operator]]:
    """Operators in regions for one device each, in an order of execution."""
    maker = {tensor: operator.index for operator in graph.operators for tensor in operator.outputs}
    reads = {
        operator.index: [maker[tensor] for tensor in operator.inputs if tensor in maker]
        for operator in graph.operators
    }
    on_device = {index: index not in on_cpu for index in reads}
    level = levels(reads, on_device)
    parts: dict[tuple[int, bool], list[Operator]] = {}
    for operator in graph.operators:
        parts.setdefault((level[operator.index], on_device[operator.index]), []).append(operator)
    return [parts[key] for key in sorted(parts)]


def _is_free(part: Sequence[Operator], planned: Mapping[int, Layers]) -> bool:
    return all(operator_named(layer.operator).is_view for one in part for layer in planned[one.index])


def _macs(operators: Sequence[Operator], planned: Mapping[int, Layers]) -> int:
    """Multiply-accumulates of operators, counted as on the CPU."""
    total = 0
    for layer in (layer for operator in operators for layer in planned[operator.index]):
        specs = [
            TensorSpec((), "int8")
            if isinstance(value, Temporary)
            else TensorSpec(tuple(value.shape), str(value.dtype))
            for value in layer.inputs
        ]
        if not any(isinstance(value, Temporary) for value in layer.inputs):
            total += operator_named(layer.operator).macs(specs, attributes_of(layer))
    return total


def _layers(part: Graph, network: CompiledNetwork, macs: int, npu: NpuConfig) -> list[Layer]:
    """The call of a network, and for each of its outputs the part of the block that holds it."""
    scratch = _aligned(network.scratch.get(_SCRATCH_REGION, 0))
    fast_region, fast = next(
        ((number, size) for number, size in network.scratch.items() if number != _SCRATCH_REGION), (0, 0)
    )
    start = {_SCRATCH_REGION: 0, fast_region: scratch}
    attrs = {
        "accelerator": npu.name,
        "scratch_bytes": scratch,
        "fast_bytes": _aligned(fast),
        "fast_region": fast_region,
        "weight_region": network.constant_region,
        "input_places": [start[one.region] + one.offset for one in network.inputs],
        "macs": macs,
    }
    constants = (
        np.frombuffer(network.payload, np.uint8),
        np.frombuffer(network.constants or bytes(_ALIGNMENT), np.uint8),
    )
    block = Temporary()
    layers = [Layer(NAME, (*constants, *part.inputs), block, attrs)]
    for tensor, place in zip(part.outputs, network.outputs, strict=True):
        layers += _output(block, tensor, start[place.region] + place.offset)
    return layers


def _output(block: Temporary, tensor: Tensor, begin: int) -> list[Layer]:
    piece = Temporary(tensor.scale, tensor.zero_point)
    box = {"begin": [begin], "strides": [1], "shape": [tensor.elements]}
    return [
        Layer("slice", (block,), piece, box),
        Layer("reshape", (piece,), tensor, {"shape": list(tensor.shape)}),
    ]


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def _warnings(
    regions: Sequence[tuple[Sequence[Operator], CompiledNetwork | None]],
    planned: Mapping[int, Layers],
    config: TargetConfig,
) -> tuple[str, ...]:
    """Layers that the NPU rounds in another way than the target says."""
    if config.rounding == "tflm":
        return ()
    rounded = [
        str(operator)
        for operators, network in regions
        if network is not None
        for operator in operators
        if any(layer.attrs.get("rounding", "double") != "double" for layer in planned[operator.index])
    ]
    if not rounded:
        return ()
    return (
        f"-rounding={config.rounding}, but the NPU rounds twice; results of these may differ by one from it: "
        + ", ".join(rounded),
    )
