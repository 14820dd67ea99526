"""A quantizer for PyTorch 2 export quantisation (torchao's pt2e flow) that asks for what the integer operators are.

Activations are int8 with one scale and zero point, weights int8 per output channel and symmetric, biases stay real and
become int32 in steps of the accumulator when the model is imported. A convolution or dense layer takes batch
normalisation and a clamping activation along; operators that only move elements keep the quantisation of their
operand, and parts of a concatenation share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torchao.quantization.pt2e import (
    FusedMovingAvgObsFakeQuantize,
    HistogramObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    PerChannelMinMaxObserver,
)
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

_aten = torch.ops.aten
ANNOTATION = "quantization_annotation"
SMALLEST_SCALE = 2.0**-20

_WITH_WEIGHTS = (_aten.conv2d.default, _aten.conv2d.padding, _aten.linear.default)
NORMALIZATIONS = (_aten.batch_norm.default,)
_CLAMPS = (
    _aten.relu.default,
    _aten.relu_.default,
    _aten.relu6.default,
    _aten.relu6_.default,
    _aten.hardtanh.default,
    _aten.hardtanh_.default,
    _aten.clamp.default,
    _aten.clamp_.default,
)
_SUMS = (
    _aten.add.Tensor,
    _aten.add_.Tensor,
    _aten.sub.Tensor,
    _aten.sub_.Tensor,
    _aten.mul.Tensor,
    _aten.mul_.Tensor,
    _aten.div.Tensor,
    _aten.div_.Tensor,
    _aten.rsub.Scalar,
)
_MOVING = (
    _aten.max_pool2d.default,
    _aten.avg_pool2d.default,
    _aten.flatten.using_ints,
    _aten.view.default,
    _aten.reshape.default,
    _aten.squeeze.default,
    _aten.squeeze.dim,
    _aten.squeeze.dims,
    _aten.unsqueeze.default,
    _aten.permute.default,
    _aten.transpose.int,
    _aten.slice.Tensor,
    _aten.dropout.default,
    _aten.clone.default,
    _aten.contiguous.default,
    _aten.pad.default,
    _aten.constant_pad_nd.default,
)
_JOINING = (_aten.cat.default,)
_COMPUTING = (
    *_CLAMPS,
    *_SUMS,
    _aten.maximum.default,
    _aten.minimum.default,
    _aten.hardswish.default,
    _aten.hardswish_.default,
    _aten.hardsigmoid.default,
    _aten.hardsigmoid_.default,
    _aten.sigmoid.default,
    _aten.sigmoid_.default,
    _aten.tanh.default,
    _aten.tanh_.default,
    _aten.silu.default,
    _aten.silu_.default,
    _aten.gelu.default,
    _aten.elu.default,
    _aten.elu_.default,
    _aten.leaky_relu.default,
    _aten.leaky_relu_.default,
    _aten.mean.dim,
    _aten.adaptive_avg_pool2d.default,
    _aten.softmax.int,
)


class TinyMLQuantizer(Quantizer):  # type: ignore[misc]
    """Annotates an exported module for `prepare_pt2e`, or `prepare_qat_pt2e` with `is_qat`.

    is_qat: fake quantisation with moving averages instead of observers.
    """

    def __init__(self, *, is_qat: bool = False) -> None:
        super().__init__()
        self.activations = _activations(is_qat)
        self.weights = _weights(is_qat)

    def annotate(self, model: Any) -> Any:
        """Say of every operator how its operands and its result are quantised."""
        for node in model.graph.nodes:
            if node.op == "call_function" and ANNOTATION not in node.meta and _is_real(node):
                self._annotate(node)
        return model

    def validate(self, model: Any) -> None:
        """Nothing is left to check: operators that are not known stay in floating point, which the importer refuses."""

    def _annotate(self, node: Any) -> None:
        if node.target in _WITH_WEIGHTS:
            self._layer(node)
        elif node.target in _MOVING:
            shared = SharedQuantizationSpec((node.args[0], node))
            _note(node, {node.args[0]: self.activations}, shared)
        elif node.target in _JOINING:
            first, *others = dict.fromkeys(node.args[0])
            shared = SharedQuantizationSpec((first, node))
            _note(node, {first: self.activations} | dict.fromkeys(others, shared), shared)
        elif node.target in _COMPUTING:
            operands = dict.fromkeys(one for one in node.args if isinstance(one, torch.fx.Node))
            _note(node, dict.fromkeys(operands, self.activations), None)
            self._end(node, (_CLAMPS,) if node.target in _SUMS else ())

    def _layer(self, node: Any) -> None:
        """A layer with weights, and what becomes part of it."""
        _note(node, {node.args[0]: self.activations, node.args[1]: self.weights}, None)
        self._end(node, (NORMALIZATIONS, _CLAMPS))

    def _end(self, node: Any, parts: Sequence[Sequence[Any]]) -> None:
        """Quantise the result of a layer behind the operators that become part of it, at most one of each kind."""
        last = node
        for targets in parts:
            following = _only_user(last)
            if following is not None and following.target in targets:
                last = following
                _note(last, {}, None)
        last.meta[ANNOTATION].output_qspec = self.activations


def _activations(is_qat: bool) -> QuantizationSpec:
    if is_qat:
        observer = FusedMovingAvgObsFakeQuantize.with_args(
            observer=MovingAverageMinMaxObserver, quant_min=-128, quant_max=127, eps=SMALLEST_SCALE
        )
    else:
        observer = HistogramObserver.with_args(eps=SMALLEST_SCALE)
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        is_dynamic=False,
        observer_or_fake_quant_ctr=observer,
    )


def _weights(is_qat: bool) -> QuantizationSpec:
    if is_qat:
        observer = FusedMovingAvgObsFakeQuantize.with_args(
            observer=MovingAveragePerChannelMinMaxObserver, quant_min=-127, quant_max=127, eps=SMALLEST_SCALE
        )
    else:
        observer = PerChannelMinMaxObserver.with_args(eps=SMALLEST_SCALE)
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        is_dynamic=False,
        observer_or_fake_quant_ctr=observer,
    )


def _note(node: Any, inputs: dict[Any, Any], output: Any) -> None:
    node.meta[ANNOTATION] = QuantizationAnnotation(
        input_qspec_map=inputs, output_qspec=output, _annotated=True
    )


def _is_real(node: Any) -> bool:
    """Whether a node makes real numbers: counters of training are integers."""
    made = node.meta.get("val")
    return isinstance(made, torch.Tensor) and made.dtype == torch.float32


def _only_user(node: Any) -> Any | None:
    users = list(node.users)
    return users[0] if len(users) == 1 else None
