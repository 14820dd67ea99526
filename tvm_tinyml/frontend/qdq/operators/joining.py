"""Concat, Split and Slice."""

from __future__ import annotations

from ..builder import Builder, Converter, reject
from ..layout import axis_of, shape_of
from ..network import Call, Value


def _concat(builder: Builder, call: Call) -> None:
    """All parts come to the quantisation that the whole is quantised to next, or that they share."""
    value = call.outputs[0]
    parts = [builder.operand(call, position) for position in range(len(call.inputs))]
    if any(part in builder.orders for part in parts):
        reject("it works on an image that was flattened, supported is a dense layer in between")
    if any(part.data is not None for part in parts):
        reject("a part is a constant, supported are parts that are computed by the model")
    wanted = builder.quantization_after(value) or parts[0].quantization
    assert wanted is not None
    equal = [builder.requantized(part, wanted, f"{part.name}:part") for part in parts]
    output, _ = builder.result(call, quantization=wanted)
    rank = len(value.shape)
    axis = axis_of(int(call.attrs["axis"]) % rank, rank)
    builder.operator("CONCATENATION", equal, output, axis=axis, fused_activation_function=0)


def _split(builder: Builder, call: Call) -> None:
    rank = len(call.outputs[0].shape)
    axis = int(call.attrs.get("axis", 0)) % rank
    begin = 0
    for value in call.outputs:
        _box(builder, call, value, {axis: begin})
        begin += value.shape[axis]


def _slice(builder: Builder, call: Call) -> None:
    value = call.outputs[0]
    rank = len(value.shape)
    numbers = []
    for position in range(1, 5):
        given = call.input(position)
        if given is not None and given.data is None:
            reject("its limits are computed by the model, supported are constants")
        numbers.append(
            None if given is None or given.data is None else [int(one) for one in given.data.reshape(-1)]
        )
    starts, _, axes, steps = numbers
    if starts is None or (steps is not None and set(steps) != {1}):
        reject("its steps are not 1")
    places = axes if axes is not None else list(range(len(starts)))
    source = call.inputs[0]
    assert source is not None
    begins = {}
    for place, start in zip(places, starts, strict=True):
        axis = place % rank
        extent = source.shape[axis]
        begins[axis] = min(max(start + extent if start < 0 else start, 0), extent)
    _box(builder, call, value, begins)


def _box(builder: Builder, call: Call, value: Value, begins: dict[int, int]) -> None:
    """The part of the operand from `begins` on, by dimension, in the shape of `value`."""
    data = builder.activation(call)
    if data in builder.orders:
        reject("it works on an image that was flattened, supported is a dense layer in between")
    rank = len(data.shape)
    first = [0] * rank
    for axis, begin in begins.items():
        first[axis_of(axis, rank)] = begin
    made = builder.tensor(value.name, shape_of(value.shape), data.quantization)
    builder.meaning[value] = made
    start = builder.constant(f"{value.name}:begin", first, "int32")
    size = builder.constant(f"{value.name}:size", made.shape, "int32")
    builder.operator("SLICE", (data, start, size), made)


CONVERTERS: dict[str, Converter] = {"Concat": _concat, "Split": _split, "Slice": _slice}
