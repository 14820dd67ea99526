"""From a PyTorch network to figures of a microcontroller in one call, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from .. import relay
from ..errors import UnsupportedError
from ..frontend import from_pytorch
from ..module import AOTModule
from ..quantization import LayerLoss, samples_of
from ..quantization.calibration import Array, Calibration
from ..runner import RunReport
from .post_training import (
    DEQUANTIZE,
    Quantized,
    arrays_of,
    exported,
    first_sample,
    inputs_of,
    is_quantized,
    quantize,
    tensors_of,
)

IMAGE_RANK = 4


@dataclass(frozen=True)
class Agreement:
    """How outputs compare with PyTorch's.

    steps: largest difference from the quantised program, in steps of the output's scale; PyTorch scales in floating
        point, so a layer may be off by one, and the last of a deep network by a few.
    same_answers: fraction of the inputs for which the largest element of the first output is the same one.
    same_as_float: the same, compared with the float network; None when only a quantised one is known.
    """

    steps: int
    same_answers: float
    same_as_float: float | None


@dataclass(frozen=True)
class Run:
    """What came out.

    outputs: of the network, [count, ...] each, dimensions in PyTorch's order. report: of the first
    inference. losses: of every layer, when the network was quantised for this run.
    """

    outputs: tuple[Array, ...]
    report: RunReport
    agreement: Agreement
    module: AOTModule
    program: ExportedProgram
    losses: tuple[LayerLoss, ...]

    def __str__(self) -> str:
        report, agreement = self.report, self.agreement
        facts: dict[str, Any] = {
            "target": self.module.config,
            "board": report.board,
            "instructions": report.instructions,
            "arena (bytes)": report.arena_bytes,
            "stack (bytes)": report.stack_bytes,
            "text (bytes)": report.flash and report.flash.text,
            "constants (bytes)": report.flash and report.flash.rodata,
            "steps from PyTorch": agreement.steps,
            "answers as PyTorch": f"{agreement.same_answers:.2%}",
            "answers as in float": None
            if agreement.same_as_float is None
            else f"{agreement.same_as_float:.2%}",
        }
        return "\n".join(
            f"{name:<20} {f'{value:,}' if isinstance(value, int) else value}"
            for name, value in facts.items()
            if value is not None
        )


def compile_and_run(
    network: torch.nn.Module | ExportedProgram,
    inputs: Calibration,
    *,
    target: Any,
    calibration: Calibration | None = None,
    board: str | None = None,
    name: str = "model",
) -> Run:
    """Quantise a network if it is not, compile it, run it on inputs, and compare with PyTorch.

    Args:
        network: a module or an exported program, with one or more float32 inputs and a batch of 1; already quantised
            (`convert_pt2e`), or float and quantised with `calibration`.
        inputs: float arrays or tensors [count, ...], as `quantize` takes its calibration data.
        target: what is compiled for, as `relay.build` takes it.
        calibration: samples for a float network, see `quantize`.
        board: where to run, "host" included; the target's own when None.
        name: of the model, a C identifier.

    Raises:
        UnsupportedError: a float network without calibration data, or what `quantize` and `from_pytorch` refuse.
        RunError: inputs that do not fit. Also what `relay.build` raises.
    """
    given = network if isinstance(network, ExportedProgram) else exported(network, first_sample(inputs))
    if is_quantized(given):
        quantized, floating = Quantized(given, ()), None
    elif calibration is None:
        raise UnsupportedError(
            f"{name}: the network computes in float; pass samples of its inputs as `calibration` to quantise it."
        )
    else:
        quantized, floating = quantize(given, calibration), given
    samples = samples_of(arrays_of(inputs), inputs_of(given))
    module = relay.build(from_pytorch(quantized.program, name)[0], target=target)
    batches = [[_channels_last(one) for one in sample] for sample in samples]
    # Counting slows the emulator down, and one inference is like the other.
    report = module.run_many(batches[:1], board=board)
    others = module.run_many(batches[1:], board=board, profile=False).outputs if batches[1:] else []
    outputs = _stacked([[_channels_first(one) for one in row] for row in (*report.outputs, *others)])
    agreement = _agreement(outputs, quantized.program, floating, samples)
    return Run(outputs, report, agreement, module, quantized.program, quantized.losses)


def _agreement(
    outputs: Sequence[Array],
    program: ExportedProgram,
    floating: ExportedProgram | None,
    samples: Sequence[Sequence[Array]],
) -> Agreement:
    reference = _outputs(program, samples)
    differences = [
        np.rint(np.abs(ours - theirs).max() / scale)
        for ours, theirs, scale in zip(outputs, reference, _output_scales(program), strict=True)
    ]
    answers = _answers(outputs[0])
    exact = None if floating is None else _answers(_outputs(floating, samples)[0])
    return Agreement(
        int(max(differences)),
        float((answers == _answers(reference[0])).mean()),
        None if exact is None else float((answers == exact).mean()),
    )


def _outputs(program: ExportedProgram, samples: Sequence[Sequence[Array]]) -> tuple[Array, ...]:
    module = program.module()
    with torch.no_grad():
        made = [module(*tensors_of(sample)) for sample in samples]
    return _stacked(
        [[one.numpy() for one in (out if isinstance(out, (list, tuple)) else [out])] for out in made]
    )


def _output_scales(program: ExportedProgram) -> list[float]:
    """Scales of the outputs, which a quantised program dequantises last."""
    (output,) = [node for node in program.graph.nodes if node.op == "output"]
    made = [node for node in output.args[0] if str(node.target) == DEQUANTIZE]
    return [float(node.args[1]) for node in made]


def _answers(scores: Array) -> Array:
    found: Array = scores.reshape(len(scores), -1).argmax(axis=1)
    return found


def _stacked(rows: Sequence[Sequence[Array]]) -> tuple[Array, ...]:
    return tuple(np.concatenate(column) for column in zip(*rows, strict=True))


def _channels_last(value: Array) -> Array:
    return np.ascontiguousarray(value.transpose(0, 2, 3, 1)) if value.ndim == IMAGE_RANK else value


def _channels_first(value: Array) -> Array:
    return np.ascontiguousarray(value.transpose(0, 3, 1, 2)) if value.ndim == IMAGE_RANK else value
