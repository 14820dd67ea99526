"""FoldConstantChannels: channels that do not depend on the input move into the next layer's bias.

Trained networks hold filters of zeros, and ReLUs that no input can open: their channels have one value whatever the
image. Such a channel is computed, stored and multiplied for nothing. What it adds to the next convolution
is a constant per output channel, unless the window is padded: a border pixel sums over fewer taps, so there
the channel must hold the zero point, whose products vanish.

The pass finds the value of every constant channel forwards, which channels anything still needs backwards, and
then cuts the rest out of weights, biases and tensors. A tensor that lost channels gets another name, because it
is no longer the source model's.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ..dialect import operator
from ..dialect.relax_api import Array
from .dataflow import Call, Constant, Graph, Value, graph_pass

# Value of each channel of a tensor, and whether it is one whatever the input.
Channels: TypeAlias = tuple[Array, Array]

_SUMS = ("conv2d", "depthwise_conv2d", "dense")
_PER_CHANNEL = ("max_pool2d", "avg_pool2d", "lookup")


def FoldConstantChannels() -> Any:  # noqa: N802
    """Needs constant weights; guarantees that no convolution computes a channel that is constant and can be folded."""
    return graph_pass("FoldConstantChannels", _fold)


def _fold(graph: Graph) -> int:
    known: dict[Value, Channels] = {}
    for node in graph.calls:
        channels = _constant_channels(node, known)
        if channels is not None:
            known[node] = channels
    needed = _needed_channels(graph, known)
    return sum(_cut(graph, node, known, needed) for node in graph.calls)


def _channel_axis(node: Call) -> int:
    """Axis of the output channels in a convolution's weights."""
    return 3 if node.operator.name == "depthwise_conv2d" else 0


def _is_vector(node: Call) -> bool:
    """Whether a reshape only renames the shape of one vector of channels."""
    before, after = node.inputs[0].spec.shape, node.spec.shape
    return len(after) > 0 and len(before) > 0 and before[-1] == after[-1] == node.spec.elements


def _weights(node: Call) -> Array | None:
    operands = node.inputs[1:]
    if node.operator.name not in _SUMS or not all(isinstance(value, Constant) for value in operands):
        return None
    weight = operands[0]
    assert isinstance(weight, Constant)
    return weight.array


def _constant_channels(node: Call, known: dict[Value, Channels]) -> Channels | None:
    weight = _weights(node)
    if weight is not None:
        return _constant_sums(node, weight, known)
    source = known.get(node.inputs[0]) if node.inputs else None
    if source is None or (node.operator.name == "reshape" and not _is_vector(node)):
        return None
    if node.operator.name == "reshape":
        return source
    if node.operator.name in _PER_CHANNEL:
        return _of_reference(node, source)
    return None


def _of_reference(node: Call, source: Channels) -> Channels:
    """Constant channels of an operator that treats each channel by itself and ignores padding."""
    values, constant = source
    data = np.broadcast_to(values.astype(np.int8), node.inputs[0].spec.shape)
    operands = [value.array for value in node.inputs[1:] if isinstance(value, Constant)]
    result = node.operator.reference([data, *operands], node.attrs)
    return result.reshape(-1, result.shape[-1])[0].astype(np.int64), constant


def _constant_sums(node: Call, weight: Array, known: dict[Value, Channels]) -> Channels:
    """Channels whose output is the same for the smallest and the largest sum the inputs can give."""
    depth = node.inputs[0].spec.shape[-1]
    values, constant = known.get(node.inputs[0], _unknown(depth))
    if node.operator.name == "dense" and weight.shape[1] != depth:
        # A row of inputs spans several pixels; nothing is known of it channel by channel.
        values, constant = _unknown(weight.shape[1])
    zero_point = node.attrs["input_zero_point"]
    low = np.where(constant, values, -128) - zero_point
    high = np.where(constant, values, 127) - zero_point
    if any(node.attrs.get("padding", ())):
        # A tap outside the image contributes nothing.
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    taps = weight.astype(np.int64)
    if node.operator.name == "depthwise_conv2d":
        low, high = (np.repeat(edge, node.attrs["depth_multiplier"]) for edge in (low, high))
    axes = tuple(axis for axis in range(taps.ndim) if axis != _channel_axis(node))
    least = np.minimum(taps * low, taps * high).sum(axis=axes)
    most = np.maximum(taps * low, taps * high).sum(axis=axes)
    bottom, top = _outputs(node, least), _outputs(node, most)
    if bottom is None or top is None:
        return _unknown(len(least))
    return top, bottom == top


def _unknown(channels: int) -> Channels:
    return np.zeros(channels, np.int64), np.zeros(channels, np.bool_)


def _outputs(node: Call, sums: Array) -> Array | None:
    """Output of each channel when its products add up to `sums`; None when an accumulator would wrap around.

    Asked of the operator itself: a dense layer without weights whose bias holds the sum.
    """
    bias, multiplier, shift = (value.array for value in node.inputs[2:] if isinstance(value, Constant))
    total = bias.astype(np.int64) + sums
    if (np.abs(total) >= 2**31).any():
        return None
    attrs = {key: node.attrs[key] for key in ("zero_point", "clamp_min", "clamp_max", "rounding")}
    attrs |= {"input_zero_point": 0, "shape": (1, len(total))}
    nothing = np.zeros((1, 1), np.int8), np.zeros((len(total), 1), np.int8)
    result = operator("dense").reference([*nothing, total.astype(np.int32), multiplier, shift], attrs)
    return result.reshape(-1).astype(np.int64)


def _needed_channels(graph: Graph, known: dict[Value, Channels]) -> dict[Value, Array]:
    """Which channels of every call's result something reads and cannot do without."""
    needed: dict[Value, Array] = {}
    for node in reversed(graph.calls):
        users = graph.users(node)
        if not _can_lose_channels(node) or graph.is_output(node) or not users:
            continue
        wanted = np.zeros(node.spec.shape[-1], np.bool_)
        for user in users:
            wanted |= _wanted_by(user, node, known, needed)
        if not wanted.any():
            wanted[0] = True
        needed[node] = wanted
    return needed


def _can_lose_channels(node: Call) -> bool:
    if node.operator.name == "reshape":
        return _is_vector(node)
    return node.operator.name in _PER_CHANNEL or _weights(node) is not None


def _wanted_by(user: Call, node: Call, known: dict[Value, Channels], needed: dict[Value, Array]) -> Array:
    everything = np.ones(node.spec.shape[-1], np.bool_)
    results = needed.get(user, np.ones(user.spec.shape[-1] if user.spec.shape else 0, np.bool_))
    weight = _weights(user)
    if user.inputs.count(node) != 1 or user.inputs[0] is not node:
        return everything
    if user.operator.name == "depthwise_conv2d" and weight is not None:
        inputs: Array = np.any(results.reshape(-1, user.attrs["depth_multiplier"]), axis=1)
        return inputs
    if user.operator.name in _PER_CHANNEL or (user.operator.name == "reshape" and _is_vector(user)):
        return results
    if weight is None or (user.operator.name == "dense" and weight.shape[1] != node.spec.shape[-1]):
        return everything
    axes = tuple(range(1, weight.ndim - 1))
    unused = ~(weight[results] != 0).any(axis=(0, *axes))
    values, constant = known.get(node, _unknown(node.spec.shape[-1]))
    if any(user.attrs.get("padding", ())):
        constant = constant & (values == user.attrs["input_zero_point"])
    wanted: Array = ~(constant | unused)
    return wanted


def _cut(graph: Graph, node: Call, known: dict[Value, Channels], needed: dict[Value, Array]) -> int:
    """Drop unneeded channels of a call's inputs and result; returns how many it no longer computes."""
    source = node.inputs[0] if node.inputs else None
    kept_inputs = needed.get(source) if source is not None else None
    kept = needed.get(node)
    weight = _weights(node)
    if weight is not None:
        _cut_sum(node, weight, kept_inputs, kept, known)
    elif node.operator.name == "reshape" and kept is not None:
        node.attrs["shape"] = (*node.spec.shape[:-1], int(kept.sum()))
    shape = node.spec.shape
    node.spec = node.operator.infer([value.spec for value in node.inputs], node.attrs)
    if node.spec.shape != shape:
        node.attrs["tensor"] = graph.fresh("tensor", f"{node.attrs['tensor']}#kept")
    return shape[-1] - node.spec.shape[-1] if shape and weight is not None else 0


def _cut_sum(
    node: Call, weight: Array, kept_inputs: Array | None, kept: Array | None, known: dict[Value, Channels]
) -> None:
    bias, multiplier, shift = (value.array for value in node.inputs[2:] if isinstance(value, Constant))
    kept = np.ones(len(bias), np.bool_) if kept is None else kept
    if node.operator.name == "depthwise_conv2d":
        weight = weight[..., kept]
        if kept_inputs is not None:
            kept_inputs_wide = np.repeat(kept_inputs, node.attrs["depth_multiplier"])
            assert not (kept & ~kept_inputs_wide).any(), "a depthwise channel lost its input"
    else:
        weight = weight[kept]
        if kept_inputs is not None and not kept_inputs.all() and weight.shape[-1] == len(kept_inputs):
            values, constant = known.get(node.inputs[0], _unknown(len(kept_inputs)))
            dropped = ~kept_inputs & constant
            steps = (values - node.attrs["input_zero_point"])[dropped]
            sums = weight[..., dropped].astype(np.int64).sum(axis=tuple(range(1, weight.ndim - 1)))
            bias = bias.copy()
            bias[kept] = (bias[kept].astype(np.int64) + sums @ steps).astype(np.int32)
            weight = weight[..., kept_inputs]
    arrays = (weight, bias[kept], multiplier[kept], shift[kept])
    node.inputs[1:] = [Constant.of(np.ascontiguousarray(array)) for array in arrays]
    if "effective_scale" in node.attrs:
        scales = np.asarray(node.attrs["effective_scale"])[kept]
        node.attrs["effective_scale"] = tuple(float(scale) for scale in scales)
    if node.operator.name == "dense":
        node.attrs["shape"] = (*node.attrs["shape"][:-1], int(kept.sum()))
