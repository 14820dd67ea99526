"""Small networks for the tests of planning: real operators, so that windows and work come from the dialect."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.transform.building import CLAMP, Expr, ModuleBuilder
from tvm_tinyml.dialect.relax_api import spec_of
from tvm_tinyml.patch.network import Network
from tvm_tinyml.patch.region import Node, accumulated
from tvm_tinyml.transform.dataflow import Graph
from tvm_tinyml.transform.patch_network import network_of


def network(module: Any) -> Network:
    """A module's main function as the planner sees it."""
    return network_of(Graph.read(module["main"]))


def columns_of(node: Node) -> int:
    """Columns that strips of a region are cut from when `node` is its last call."""
    image = accumulated(node)
    return (node.output.shape if image is None else image[1])[2]


def bottlenecks(count: int, size: int = 8) -> Any:
    """Expand, depthwise, project and add, `count` times, behind a convolution that halves the image."""
    builder = ModuleBuilder()
    below = builder.conv2d(builder.parameter(1, size, size, 3), strides=(2, 2), padding=(0, 0, 1, 1))
    for _ in range(count):
        wide = builder.call("concat", *[below] * 4, axis=3)
        deep = builder.conv2d(wide, depthwise=True, padding=(1, 1, 1, 1))
        below = builder.call("maximum", builder.conv2d(deep, kernel=1), below)
    return builder.module(below)


@st.composite
def modules(draw: st.DrawFn, most: int = 5) -> Any:
    """Chains of windows of any stride, dilation and padding, with residuals, and an operator that cannot stream.

    Some end in a reduction over all pixels.
    """
    builder = ModuleBuilder()
    values = [builder.parameter(1, draw(st.integers(4, 9)), draw(st.integers(3, 8)), draw(st.integers(1, 3)))]
    for _ in range(draw(st.integers(1, most))):
        values.append(_layer(draw, builder, values))
    reduction = draw(st.sampled_from([None, None, "sum_pixels", "max_pixels"]))
    if reduction:
        values.append(builder.call(reduction, values[-1], keepdims=draw(st.booleans()), **CLAMP))
    return builder.module(values[-1])


def _layer(draw: st.DrawFn, builder: ModuleBuilder, values: list[Expr]) -> Expr:
    x = values[-1]
    _, height, width, _ = spec_of(x).shape
    same = [y for y in values[:-1] if spec_of(y).shape == spec_of(x).shape]
    joins: bool = draw(st.booleans())
    if same and joins:
        return builder.call("maximum", x, draw(st.sampled_from(same)))
    if draw(st.integers(0, 8)) == 0:
        return builder.call("reshape", x, shape=(1, width, height, spec_of(x).shape[3]))
    kernel = draw(st.integers(1, min(3, height, width)))
    return builder.conv2d(
        x,
        kernel=kernel,
        depthwise=draw(st.booleans()),
        strides=draw(st.sampled_from([(1, 1), (2, 2), (1, 2)])),
        padding=tuple(draw(st.integers(0, kernel - 1)) for _ in range(4)),
    )
