"""Strides of convolutions that move to other layers: the maps between two of them get another size, all others stay.

What the network computes changes; its output, and how far windows of its last map lie apart, do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..dialect.relax_api import TensorSpec
from ..errors import PlanError
from ..patch.geometry import COLUMNS, ROWS, is_image, sliding
from .dataflow import Call, Constant, Graph, Value
from .kernels import Axis, Resize, Strides, axes

_FACTORS = (2, 3)


def moves(calls: Sequence[Call]) -> Iterator[tuple[Resize, Resize]]:
    """Pairs of changes, of a layer that loses a factor of its strides and one that gets it, wherever they lie.

    No input is skipped: a kernel stays as long as its stride. Whether sizes fit is for `restride` to say.
    """
    for donor in calls:
        for factor in _factors(donor):
            less = Resize(donor.attrs["name"], strides=_each(donor, lambda own, one: own // one, factor))
            for receiver in calls:
                more = _each(receiver, lambda own, one: own * one, factor)
                if receiver is not donor and all(
                    stride <= max(axis.kernel, axis.stride)
                    for stride, axis in zip(more, axes(receiver), strict=True)
                ):
                    yield less, Resize(receiver.attrs["name"], strides=more)


def _factors(donor: Call) -> Iterator[Strides]:
    """What can be taken from the strides of a layer: of both axes where both have it."""
    rows, columns = donor.attrs["strides"]
    for factor in _FACTORS:
        found = tuple(factor if own % factor == 0 else 1 for own in (rows, columns))
        if any(one > 1 for one in found):
            yield found[0], found[1]


def _each(call: Call, combine: Callable[[int, int], int], factor: Strides) -> Strides:
    rows, columns = call.attrs["strides"]
    return combine(rows, factor[0]), combine(columns, factor[1])


def restride(graph: Graph, wanted: Mapping[str, Strides]) -> None:
    """Give convolutions, by name, other strides and all that reads them other sizes.

    Raises ValueError where an operator cannot take another size, or the output of the network would have one.
    """
    values: list[Value] = [*graph.parameters, *graph.calls]
    before = {value: value.spec for value in values}
    for node in graph.calls:
        name = node.attrs["name"]
        data = [value for value in node.inputs if not isinstance(value, Constant)]
        if name not in wanted and all(value.spec == before[value] for value in data):
            continue
        if not _slides(node):
            raise ValueError(f"{name} takes images of one size only")
        if name in wanted:
            _set_strides(node, wanted[name], before)
        node.spec = node.operator.infer([value.spec for value in node.inputs], node.attrs)
    if any(not isinstance(one, Constant) and one.spec != before[one] for one in graph.outputs):
        raise ValueError("the output of the network would have another size")


def _slides(node: Call) -> bool:
    """Whether an operator reads all images by windows, whatever their size."""
    if node.operator.accumulates(node.attrs) is not None:
        return False
    specs = [value.spec for value in node.inputs]
    try:
        for index, value in enumerate(node.inputs):
            if not isinstance(value, Constant):
                sliding(node.operator, specs, node.attrs, index)
                if not is_image(node.operator, specs, node.attrs, index):
                    return False
    except PlanError:
        return False
    return True


def _set_strides(node: Call, strides: Strides, before: Mapping[Value, TensorSpec]) -> None:
    """Strides, and padding where it is free to differ at both ends."""
    source = before[node.inputs[0]].shape
    made = before[node].shape
    found = []
    for axis, place, stride in zip(axes(node), (ROWS, COLUMNS), strides, strict=True):
        # As many positions as the other strides leave of those that there were.
        wanted = -(-made[place] * axis.stride * axis.extent // (source[place] * stride))
        found.append(_padded(replace(axis, stride=stride), wanted))
    rows, columns = found
    if rows is None or columns is None:
        raise ValueError(f"{node.attrs['name']} has no padding for strides of {strides}")
    node.attrs["strides"] = strides
    node.attrs["padding"] = (rows.before, columns.before, rows.after, columns.after)


def _padded(axis: Axis, positions: int) -> Axis | None:
    """The axis with so many positions; padding that is equal at both ends, as some frameworks have it, stays."""
    if axis.output == positions:
        return axis
    if axis.before == axis.after:
        return None
    span = (axis.kernel - 1) * axis.dilation + 1
    total = max(0, (positions - 1) * axis.stride + span - axis.extent)
    found = replace(axis, before=total // 2, after=total - total // 2)
    return found if found.output == positions else None
