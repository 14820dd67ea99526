"""Quantisation after training: export, calibrate with `TinyMLQuantizer`, convert, and what every layer loses by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from ..errors import ModelError, RunError, UnsupportedError
from ..quantization import FloatInput, LayerLoss, LossMeter, samples_of, spread
from ..quantization.calibration import Array, Calibration
from .quantizer import NORMALIZATIONS, TinyMLQuantizer

QUANTIZE = "quantized_decomposed.quantize_per_tensor.default"
DEQUANTIZE = "quantized_decomposed.dequantize_per_tensor.default"


@dataclass(frozen=True)
class Quantized:
    """A quantised module.

    program: what `from_pytorch` and `torch.export.save` take. losses: of every layer, in the order of execution.
    """

    program: ExportedProgram
    losses: tuple[LayerLoss, ...]


def quantize(network: torch.nn.Module | ExportedProgram, calibration: Calibration) -> Quantized:
    """Quantise a float module to int8 after training.

    Args:
        network: a module, which is exported as it is in evaluation, or a program exported from one; one or more
            float32 inputs with a batch of 1 in front.
        calibration: float arrays or tensors [count, ...] by the name of the input, in the shape that the module
            takes without its batch; a single one when there is one input. A few dozen real samples.

    Raises:
        UnsupportedError: it is quantised already, or its inputs are not of that kind.
        RunError: the calibration data do not fit the module.
        ModelError: PyTorch cannot export it.
    """
    program = (
        network if isinstance(network, ExportedProgram) else exported(network, first_sample(calibration))
    )
    if is_quantized(program):
        raise UnsupportedError("the module is quantised already; import it without calibration data.")
    samples = [tensors_of(sample) for sample in samples_of(arrays_of(calibration), inputs_of(program))]
    floating = program.module()
    prepared = prepare_pt2e(program.module(), TinyMLQuantizer())
    with torch.no_grad():
        for sample in samples:
            prepared(*sample)
        converted = convert_pt2e(prepared)
        losses = _losses(floating, converted, spread(samples))
    return Quantized(exported(converted, samples[0]), losses)


def exported(module: torch.nn.Module, sample: Sequence[torch.Tensor]) -> ExportedProgram:
    """The program of a module in evaluation for inputs like `sample`; ModelError when PyTorch cannot export it."""
    try:
        with _evaluating(module):
            return torch.export.export(module, tuple(sample))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"PyTorch cannot export the module: {reason}") from error


def first_sample(data: Calibration) -> list[torch.Tensor]:
    """Inputs for one inference, in the order of `data`; RunError where there is none."""
    arrays = arrays_of(data)
    columns = [np.asarray(one) for one in (arrays.values() if isinstance(arrays, dict) else [arrays])]
    if not columns or any(not column.ndim or not len(column) for column in columns):
        raise RunError("there are no samples; a few dozen real inputs are needed")
    return [torch.as_tensor(column[:1].astype(np.float32)) for column in columns]


def is_quantized(program: ExportedProgram) -> bool:
    """Whether anything in a program is quantised."""
    return any(str(node.target) == QUANTIZE for node in program.graph.nodes)


def inputs_of(program: ExportedProgram) -> list[FloatInput]:
    """Inputs of a program; UnsupportedError for one that is not float32 with a batch of 1."""
    found = []
    wanted = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if node.op != "placeholder" or node.name not in wanted:
            continue
        made = node.meta.get("val")
        shape = tuple(getattr(made, "shape", ()))
        if getattr(made, "dtype", None) != torch.float32 or shape[:1] != (1,):
            stated = f"{str(getattr(made, 'dtype', type(made))).removeprefix('torch.')} {list(shape)}"
            raise UnsupportedError(
                f"input '{node.name}' is {stated}, supported are float32 inputs with a fixed batch of 1; export "
                "the module for one."
            )
        found.append(FloatInput(node.name, tuple(int(extent) for extent in shape)))
    return found


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Modules in evaluation; graph modules know no other mode and refuse to be asked."""
    modes = (
        {}
        if isinstance(module, torch.fx.GraphModule)
        else {one: one.training for one in module.modules() if one.training}
    )
    for one in modes:
        one.training = False
    try:
        yield
    finally:
        for one in modes:
            one.training = True


def arrays_of(calibration: Calibration) -> Calibration:
    """Samples as arrays, of tensors or arrays, alone or by name."""
    if isinstance(calibration, torch.Tensor):
        return calibration.detach().cpu().numpy()
    if hasattr(calibration, "items"):
        return {name: arrays_of(value) for name, value in calibration.items()}
    return calibration


def tensors_of(sample: Sequence[Array]) -> tuple[torch.Tensor, ...]:
    """One sample as PyTorch takes it."""
    return tuple(torch.from_numpy(value) for value in sample)


class _Values(torch.fx.Interpreter):
    """Runs a graph and keeps what some of its nodes make."""

    def __init__(self, module: Any, wanted: Sequence[Any]) -> None:
        super().__init__(module)
        self.wanted = set(wanted)
        self.kept: dict[Any, Array] = {}

    def run_node(self, n: Any) -> Any:
        """Run one node."""
        made = super().run_node(n)
        if n in self.wanted:
            self.kept[n] = made.numpy()
        return made


def _losses(
    floating: Any, converted: Any, samples: Sequence[tuple[torch.Tensor, ...]]
) -> tuple[LayerLoss, ...]:
    """The loss of every operator whose result is quantised: float values against dequantised ones."""
    own = {node.name: node for node in floating.graph.nodes}
    layers = []
    for node in converted.graph.nodes:
        quantizer = next((user for user in node.users if str(user.target) == QUANTIZE), None)
        if node.op != "call_function" or str(node.target) == DEQUANTIZE or quantizer is None:
            continue
        result = next((user for user in quantizer.users if str(user.target) == DEQUANTIZE), None)
        if result is not None and node.name in own:
            layers.append((node, _normalized(own[node.name]), result))
    meter = LossMeter()
    exact = _Values(floating, [real for _, real, _ in layers])
    rounded = _Values(converted, [result for *_, result in layers])
    for sample in samples:
        exact.run(*sample)
        rounded.run(*sample)
        for node, real, result in layers:
            meter.add(node.name, _operator(node), exact.kept[real], rounded.kept[result])
    return meter.losses()


def _normalized(node: Any) -> Any:
    """What a float node has become in the quantised graph, where its normalisation is part of it."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in NORMALIZATIONS else node


def _operator(node: Any) -> str:
    """Operators of a layer, those before the one that is quantised included."""
    names: list[str] = []
    while node.op == "call_function" and str(node.target) != DEQUANTIZE:
        # An overload is "aten.add.Tensor", a plain function "getitem".
        names.insert(
            0, (str(getattr(node.target, "overloadpacket", node.target.__name__))).rpartition(".")[2]
        )
        operand = node.args[0] if node.args else None
        if not isinstance(operand, torch.fx.Node):
            break
        node = operand
    return " + ".join(names)
