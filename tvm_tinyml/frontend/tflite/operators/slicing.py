"""Operators that take parts of a tensor: SLICE, STRIDED_SLICE, SPLIT, SPLIT_V and UNPACK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..graph import Tensor
from ..node import Conversion, Layer, Node, Temporary
from ..reader import OptionsTable


def _part(node: Node, data: Tensor, output: Tensor, begin: Sequence[int], shape: Sequence[int]) -> Layer:
    """A box of `data` with steps of one."""
    strides = [1] * len(begin)
    return node.layer("slice", (data,), output, begin=list(begin), strides=strides, shape=list(shape))


def _slice(node: Node) -> list[Layer]:
    data, begin, size = node.input(0), node.integers(1, "begin"), node.integers(2, "size")
    if not len(begin) == len(size) == len(data.shape):
        node.malformed(f"begin {list(begin)} and size {list(size)} do not fit {data}")
    shape = [
        extent - first if count == -1 else count
        for extent, first, count in zip(data.shape, begin, size, strict=True)
    ]
    for extent, first, count in zip(data.shape, begin, shape, strict=True):
        if first < 0 or count < 1 or first + count > extent:
            node.malformed(f"begin {list(begin)} and size {list(size)} leave {data}")
    return [_part(node, data, node.operator.outputs[0], begin, shape)]


@dataclass
class _Box:
    """What a STRIDED_SLICE reads of each input axis, and the shape it gives the result."""

    begin: list[int] = field(default_factory=list)
    strides: list[int] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)
    result: list[int] = field(default_factory=list)

    def take(self, indices: range, keep: bool = True) -> None:
        """Read `indices` of the next input axis."""
        self.begin.append(indices.start)
        self.strides.append(indices.step if len(indices) > 1 else 1)
        self.shape.append(len(indices))
        if keep:
            self.result.append(len(indices))


def _strided_slice(node: Node) -> list[Layer]:
    data, output = node.input(0), node.operator.outputs[0]
    begin, end, strides = (
        node.integers(position, what) for position, what in enumerate(("begin", "end", "strides"), start=1)
    )
    if not len(begin) == len(end) == len(strides):
        node.malformed("begin, end and strides differ in length")
    if 0 in strides:
        node.malformed("a stride is 0")
    if node.option("offset"):
        node.reject("ends given as an offset from the begin are not supported")
    box = _box(node, data.shape, list(zip(begin, end, strides, strict=True)))
    if not all(box.shape):
        node.reject("its result is empty")
    attrs = {"begin": box.begin, "strides": box.strides, "shape": box.shape}
    if box.result == box.shape:
        return [node.layer("slice", (data,), output, **attrs)]
    part = Temporary(data.scale, data.zero_point)
    return [
        node.layer("slice", (data,), part, **attrs),
        node.layer("reshape", (part,), output, shape=box.result),
    ]


def _box(node: Node, shape: Sequence[int], ranges: Sequence[tuple[int, int, int]]) -> _Box:
    """Resolve the masks: bit i of each belongs to entry i of begin, end and strides."""

    def marked(mask: str, position: int) -> bool:
        return bool(int(node.option(mask)) >> position & 1)

    ellipses = [position for position in range(len(ranges)) if marked("ellipsis_mask", position)]
    added = [p for p in range(len(ranges)) if marked("new_axis_mask", p) and p not in ellipses]
    untouched = len(shape) - (len(ranges) - len(added) - len(ellipses))
    if len(ellipses) > 1 or untouched < 0:
        node.malformed(f"its {len(ranges)} ranges do not fit {len(shape)} axes")
    box = _Box()
    for position, (first, last, stride) in enumerate(ranges):
        if position in ellipses:
            for extent in shape[len(box.shape) : len(box.shape) + untouched]:
                box.take(range(extent))
        elif position in added:
            box.result.append(1)
        elif marked("shrink_axis_mask", position):
            extent = shape[len(box.shape)]
            index = node.axis(0 if marked("begin_mask", position) else first, extent)
            box.take(range(index, index + 1), keep=False)
        else:
            start = None if marked("begin_mask", position) else first
            stop = None if marked("end_mask", position) else last
            box.take(range(*slice(start, stop, stride).indices(shape[len(box.shape)])))
    for extent in shape[len(box.shape) :]:
        box.take(range(extent))
    return box


def _split(node: Node) -> list[Layer]:
    axis, data = _axis_operand(node, 0, node.input(1)), node.input(1)
    count = len(node.operator.outputs)
    if node.option("num_splits") != count or data.shape[axis] % count:
        node.malformed(f"{data} cannot be split into {count} equal parts along axis {axis}")
    return _parts(node, data, axis, [data.shape[axis] // count] * count)


def _split_sizes(node: Node) -> list[Layer]:
    data, sizes = node.input(0), node.integers(1, "sizes", most=len(node.operator.outputs))
    axis = _axis_operand(node, 2, data)
    rest = data.shape[axis] - sum(size for size in sizes if size != -1)
    resolved = [rest if size == -1 else size for size in sizes]
    if sizes.count(-1) > 1 or sum(resolved) != data.shape[axis] or min(resolved) < 1:
        node.malformed(f"{data} cannot be split into {list(sizes)} along axis {axis}")
    if not len(sizes) == len(node.operator.outputs) == node.option("num_splits"):
        node.malformed(f"it has {len(node.operator.outputs)} outputs and {len(sizes)} sizes")
    return _parts(node, data, axis, resolved)


def _axis_operand(node: Node, position: int, data: Tensor) -> int:
    axes = node.integers(position, "axis")
    if len(axes) != 1:
        node.malformed(f"it has {len(axes)} axes, expected one")
    return node.axis(axes[0], len(data.shape))


def _parts(node: Node, data: Tensor, axis: int, sizes: Sequence[int]) -> list[Layer]:
    layers, begin = [], [0] * len(data.shape)
    for output, size in zip(node.operator.outputs, sizes, strict=True):
        shape = [*data.shape[:axis], size, *data.shape[axis + 1 :]]
        layers.append(_part(node, data, output, begin, shape))
        begin[axis] += size
    return layers


def _unpack(node: Node) -> list[Layer]:
    data = node.input(0)
    axis = node.axis(int(node.option("axis")), len(data.shape))
    if not node.option("num") == len(node.operator.outputs) == data.shape[axis]:
        node.malformed(f"{data} cannot be unpacked into {len(node.operator.outputs)} along axis {axis}")
    layers = []
    slab_shape = [*data.shape[:axis], 1, *data.shape[axis + 1 :]]
    for position, output in enumerate(node.operator.outputs):
        if output.is_quantized:
            node.same_quantization(data, output)
        begin = [position if other == axis else 0 for other in range(len(data.shape))]
        slab = Temporary(data.scale, data.zero_point)
        strides = [1] * len(begin)
        layers.append(node.layer("slice", (data,), slab, begin=begin, strides=strides, shape=slab_shape))
        shape = [*data.shape[:axis], *data.shape[axis + 1 :]]
        layers.append(node.layer("reshape", (slab,), output, shape=shape))
    return layers


_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask", "offset")

CONVERSIONS = {
    "SLICE": Conversion(_slice, (3, 3), moves_data=True),
    "STRIDED_SLICE": Conversion(
        _strided_slice, (4, 4), options=OptionsTable("StridedSliceOptions", _MASKS), moves_data=True
    ),
    "SPLIT": Conversion(
        _split, (2, 2), outputs=None, options=OptionsTable("SplitOptions", ("num_splits",)), moves_data=True
    ),
    "SPLIT_V": Conversion(
        _split_sizes,
        (3, 3),
        outputs=None,
        options=OptionsTable("SplitVOptions", ("num_splits",)),
        moves_data=True,
    ),
    "UNPACK": Conversion(
        _unpack, (1, 1), outputs=None, options=OptionsTable("UnpackOptions", ("num", "axis")), moves_data=True
    ),
}
