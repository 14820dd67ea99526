"""QLinear and integer operators as float operators between quantisations, so that one importer serves all forms.

Works on the file's own nodes, before shapes are inferred, because nothing infers shapes of operators outside the ONNX
standard, as several of these are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def kind_of(node: Any) -> str:
    """The operator of an onnx.NodeProto, with its domain in front where that is not ONNX's own."""
    own = node.domain in ("", "ai.onnx")
    return str(node.op_type) if own else f"{node.domain}.{node.op_type}"


class _NoFormError(Exception):
    """An operator is used in a way that has no form of float operators."""


def write_as_qdq(graph: Any, helper: Any) -> Mapping[str, str]:
    """Replace every operator of `graph`, an onnx.GraphProto, that computes on integers.

    helper: the module onnx.helper. Returns why operators stay that are used in a way that has no such form, by the name
    of their first result.
    """
    rewriter = _Rewriter(graph, helper)
    nodes = rewriter.nodes()
    del graph.node[:]
    graph.node.extend(nodes)
    return rewriter.refusals


class _Rewriter:
    def __init__(self, graph: Any, helper: Any) -> None:
        self.graph = graph
        self.helper = helper
        self.refusals: dict[str, str] = {}
        self.made: list[Any] = []
        self.skipped: set[str] = set()
        self.readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.quantizer = {node.output[0]: node for node in graph.node if node.op_type == QUANTIZERS[0]}

    def nodes(self) -> list[Any]:
        """The nodes after the rewrite, in order."""
        for node in self.graph.node:
            if node.output and node.output[0] in self.skipped:
                continue
            kind = kind_of(node).removeprefix(f"{MICROSOFT}.")
            if kind in FORMS:
                try:
                    FORMS[kind](self, node)
                except _NoFormError as error:
                    self.refusals[node.output[0]] = str(error)
                    self.made.append(node)
            elif kind in QUANTIZERS:
                self.made.append(node)
                self.made[-1].domain = ""
            else:
                self.made.append(node)
        return self.made

    def _add(self, kind: str, inputs: Sequence[str], output: str, **attrs: Any) -> str:
        made = self.helper.make_node(kind, list(inputs), [output], **attrs)
        self.made.append(made)
        return output

    def _real(self, node: Any, position: int, axis: int = 0) -> str:
        """The dequantised operand whose value, scale and zero point begin at input `position`."""
        value, scale, zero_point = node.input[position : position + 3]
        name = f"{value}/{node.output[0]}/{position}"
        return self._add("DequantizeLinear", (value, scale, zero_point), name, axis=axis)

    def _quantized(self, node: Any, kind: str, operands: Sequence[str], position: int, **attrs: Any) -> None:
        """A float operator whose result is quantised by the scale and zero point from input `position` on."""
        kept = {
            one.name: self.helper.get_attribute_value(one) for one in node.attribute if one.name not in _OWN
        }
        real = self._add(kind, operands, f"{node.output[0]}/float", **kept, **attrs)
        self._add("QuantizeLinear", (real, *node.input[position : position + 2]), node.output[0])

    def _bias(self, node: Any, position: int, data_scale: str, weight_scale: str) -> list[str]:
        """An int32 bias in steps of the accumulator, when there is one."""
        if len(node.input) <= position or not node.input[position]:
            return []
        name = f"{node.input[position]}/{node.output[0]}"
        steps = self._add("Mul", (data_scale, weight_scale), f"{name}/scale")
        return [self._add("DequantizeLinear", (node.input[position], steps), name, axis=0)]

    def convolution(self, node: Any) -> None:
        """QLinearConv, whose bias is in steps of the accumulator."""
        operands = [self._real(node, 0), self._real(node, 3)]
        self._quantized(node, "Conv", [*operands, *self._bias(node, 8, node.input[1], node.input[4])], 6)

    def product(self, node: Any, kind: str, *, bias: bool) -> None:
        """A product of matrices, dequantised."""
        transposed = any(one.name == "transB" and one.i for one in node.attribute)
        operands = [self._real(node, 0), self._real(node, 3, axis=0 if transposed else 1)]
        if bias:
            operands += self._bias(node, 6, node.input[1], node.input[4])
        self._quantized(node, kind, operands, 7 if bias else 6)

    def binary(self, node: Any, kind: str) -> None:
        """An operator of two operands and one result, each with scale and zero point."""
        self._quantized(node, kind, [self._real(node, 0), self._real(node, 3)], 6)

    def unary(self, node: Any, kind: str) -> None:
        """An operator of one operand and one result."""
        if any(one.name == "channels_last" and one.i for one in node.attribute):
            _refuse("it works on channels in the last dimension (channels_last)")
        self._quantized(node, kind, [self._real(node, 0)], 3)

    def concat(self, node: Any) -> None:
        """A concatenation of parts that have scales of their own."""
        parts = [self._real(node, position) for position in range(2, len(node.input), 3)]
        self._quantized(node, "Concat", parts, 0)

    def accumulator(self, node: Any, kind: str) -> None:
        """Integer operator, Cast and Mul by a constant, which is the product of both scales."""
        cast = self._only_reader(node.output[0], "Cast")
        scaled = self._only_reader(cast.output[0], "Mul")
        (factor,) = [name for name in scaled.input if name != cast.output[0]]
        data, weight, *zeros = node.input
        quantizer = self.quantizer.get(data)
        if quantizer is None:
            _refuse("its input is quantised while the model runs, or not at all; quantise it statically")
        zero_points = [*zeros, "", ""][:2]
        name = node.output[0]
        steps = self._add("Div", (factor, quantizer.input[1]), f"{name}/scale")
        one = (data, quantizer.input[1], zero_points[0])
        other = (weight, steps, zero_points[1])
        operands = [
            self._add("DequantizeLinear", [part for part in one if part], f"{name}/data"),
            self._add(
                "DequantizeLinear",
                [part for part in other if part],
                f"{name}/weight",
                axis=0 if kind == "Conv" else 1,
            ),
        ]
        kept = {one.name: self.helper.get_attribute_value(one) for one in node.attribute}
        self._add(kind, operands, scaled.output[0], **kept)
        self.skipped |= {cast.output[0], scaled.output[0]}

    def _only_reader(self, name: str, kind: str) -> Any:
        readers = self.readers.get(name, [])
        if len(readers) != 1 or readers[0].op_type != kind:
            _refuse("its sums are used otherwise than through Cast and Mul by a constant")
        return readers[0]


def _refuse(reason: str) -> NoReturn:
    raise _NoFormError(reason)


_OWN = ("channels_last", "opset")
"""Attributes of the integer operators that the float ones do not have."""

FORMS: dict[str, Callable[[_Rewriter, Any], None]] = {
    "QLinearConv": lambda rewriter, node: rewriter.convolution(node),
    "QLinearMatMul": lambda rewriter, node: rewriter.product(node, "MatMul", bias=False),
    "QGemm": lambda rewriter, node: rewriter.product(node, "Gemm", bias=True),
    "QLinearAdd": lambda rewriter, node: rewriter.binary(node, "Add"),
    "QLinearMul": lambda rewriter, node: rewriter.binary(node, "Mul"),
    "QLinearGlobalAveragePool": lambda rewriter, node: rewriter.unary(node, "GlobalAveragePool"),
    "QLinearAveragePool": lambda rewriter, node: rewriter.unary(node, "AveragePool"),
    "QLinearSigmoid": lambda rewriter, node: rewriter.unary(node, "Sigmoid"),
    "QLinearLeakyRelu": lambda rewriter, node: rewriter.unary(node, "LeakyRelu"),
    "QLinearSoftmax": lambda rewriter, node: rewriter.unary(node, "Softmax"),
    "QLinearConcat": lambda rewriter, node: rewriter.concat(node),
    "ConvInteger": lambda rewriter, node: rewriter.accumulator(node, "Conv"),
    "MatMulInteger": lambda rewriter, node: rewriter.accumulator(node, "MatMul"),
}
"""How each operator that computes on integers is written out."""
