"""Weights and biases of convolutions and products, as sums of 32 bits and a scale per output channel take them.

Quantisation has no bounds of its own: a channel without weights, or a result that never was anything but zero, may
have any scale. Where that of a channel leaves what integers can hold, another one takes its place that means the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...tflite.graph import Array, Quantization, Tensor
from ..builder import Builder, reject
from ..network import Call

SATURATING = 256.0
"""Steps of a result per step of a sum from which on every sum but 0 saturates int8, whatever the zero point."""
INT32 = 2.0**31
_ROOM = 2.0**30


@dataclass(frozen=True)
class Sums:
    """Weights, int8 with output channels first; scales of all or of each; the bias in steps of the sums, int32."""

    weights: Array
    scales: Array
    bias: Array | None

    def quantization(self, axis: int) -> Quantization:
        """Of the weights when their output channels lie along `axis`."""
        return Quantization(self.scales, np.zeros(len(self.scales), np.int64), axis)


def constant_weight(builder: Builder, call: Call, position: int, rank: int, axis: int) -> tuple[Array, Array]:
    """The weight of a call and its scales, one or one for each index of `axis`; it must be a symmetric constant."""
    weight = builder.operand(call, position)
    if weight.data is None or weight.quantization is None:
        reject(f"weight {weight} is computed by the model, supported is a constant")
    if weight.quantization.zero_points.any():
        reject(
            f"weight {weight} has a zero point other than 0 (128 of uint8), supported are symmetric ones: quantise "
            "weights to int8"
        )
    if weight.data.ndim != rank:
        reject(f"weight {weight} has {weight.data.ndim} dimensions, supported are {rank}")
    scales, stated = weight.quantization.scales, weight.quantization.axis
    if len(scales) > 1 and (stated % rank != axis or len(scales) != weight.data.shape[axis]):
        reject(
            f"weight {weight} has {len(scales)} scales along dimension {stated}, not one per output channel"
        )
    return weight.data, scales


def real_bias(builder: Builder, call: Call, position: int, channels: int) -> Array | None:
    """A constant bias in real numbers, float64 [channels]; None without one."""
    value = call.input(position)
    if value is None:
        return None
    real = real_contents(builder, call, position)
    if real is None or real.size != channels:
        reject(f"bias {value} is not a constant with one element for each of {channels} channels")
    return real.reshape(channels)


def fitted(weights: Array, scales: Array, bias: Array | None, data: Tensor, output: Tensor) -> Sums:
    """What a layer sums up over `data` for `output`; nothing changes but in channels whose numbers would not fit.

    weights: int8, output channels first. scales: of all or of each. bias: real numbers.
    """
    channels = len(weights)
    own = np.broadcast_to(scales.astype(np.float64), channels).copy()
    real = np.zeros(channels) if bias is None else bias
    flat = weights.reshape(channels, -1).astype(np.float64)
    # A bias of more than 31 bits needs coarser steps, in which the weights, 2**22 times smaller, mean little.
    wide = np.abs(real) >= INT32 * data.scale * own
    coarser = np.where(wide, np.abs(real) / (_ROOM * data.scale), own)
    flat[wide] = np.rint(flat[wide] * (own[wide] / coarser[wide])[:, None])
    own = coarser
    # Without weights any scale will do: that of the result makes the bias its steps.
    empty = (wide | (data.scale * own > output.scale)) & ~flat.any(axis=1)
    own[empty] = output.scale / data.scale
    saturating = data.scale * own > SATURATING * output.scale
    rounded = np.rint(real / (data.scale * own))
    largest = 255 * np.abs(flat).sum(axis=1)
    changed = empty | saturating
    # Beyond what weights can take back only the sign of a bias counts.
    limit = np.where(changed, largest + 2 * SATURATING, INT32 - 1)
    rounded = np.clip(rounded, -limit, limit)
    steps = np.minimum(SATURATING, _ROOM / np.maximum(1, largest + np.abs(rounded)))
    own = np.where(saturating, np.minimum(own, steps * output.scale / data.scale), own)
    return Sums(
        flat.astype(np.int8).reshape(weights.shape),
        own.astype(np.float32) if (wide | changed).any() else scales,
        None if bias is None else rounded.astype(np.int32),
    )


def real_contents(builder: Builder, call: Call, position: int) -> Array | None:
    """Real numbers that a constant operand stands for, float64; None for what is no constant."""
    value = call.input(position)
    if value is None:
        return None
    if value.data is not None:
        return value.data.astype(np.float64)
    tensor = builder.meaning.get(value)
    if tensor is None or tensor.data is None or tensor.quantization is None:
        return None
    found = tensor.quantization
    centred = tensor.data.astype(np.float64)
    if len(found.scales) == 1:
        return np.asarray((centred - found.zero_points[0]) * float(found.scales[0]))
    shape = [1] * centred.ndim
    shape[found.axis] = -1
    scales = found.scales.astype(np.float64).reshape(shape)
    real: Array = (centred - found.zero_points.reshape(shape)) * scales
    return real
