"""Builds small int8 networks layer by layer; every layer returns the tensor it made.

Weights come from the same fitting as the single-operator cases, so that layers keep using most of their
output range instead of saturating one after another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..tflite_writer import Graph, Options, OptionValue, write_model
from .case import ACTIVATIONS, PADDINGS, case_random
from .geometry import Window
from .quantization import Quantization
from .weights import Weights


@dataclass(frozen=True)
class Network:
    """A model of several operators."""

    id: str
    model_bytes: bytes

    def __repr__(self) -> str:
        return f"Network({self.id})"


@dataclass(frozen=True)
class Tensor:
    """A tensor of the network under construction; no quantization means float32."""

    index: int
    shape: tuple[int, ...]
    quantization: Quantization | None
    dtype: str = "int8"

    @property
    def scale(self) -> Quantization:
        """The quantisation of a tensor that has one."""
        assert self.quantization is not None
        return self.quantization


class NetworkBuilder:
    """One network; layers are named in the order in which they are added."""

    def __init__(self, network_id: str) -> None:
        self.id = network_id
        self.graph = Graph()
        self.generator = case_random(network_id)

    def input(self, shape: Sequence[int], quantization: Quantization | None, dtype: str = "int8") -> Tensor:
        """Add a model input."""
        tensor = self._tensor("input", shape, quantization, dtype)
        self.graph.inputs.append(tensor.index)
        return tensor

    def layer(
        self,
        operator: str,
        inputs: Sequence[Tensor | int],
        shape: Sequence[int],
        quantization: Quantization | None,
        options: Options | None = None,
        *,
        dtype: str = "int8",
    ) -> Tensor:
        """Add an operator with one result; ints are tensor indices of constants."""
        result = self._tensor(operator.lower(), shape, quantization, dtype)
        indices = [part.index if isinstance(part, Tensor) else part for part in inputs]
        self.graph.operator(operator, indices, [result.index], options)
        return result

    def convolution(
        self,
        source: Tensor,
        kernel: tuple[int, int],
        channels: int,
        target: Quantization,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: str = "same",
        activation: str = "none",
        depthwise: bool = False,
    ) -> Tensor:
        """CONV_2D with `channels` filters, or DEPTHWISE_CONV_2D with that depth multiplier."""
        height, width, depth = source.shape[1:]
        window = Window((height, width), kernel, stride, padding)
        shape, axis = (channels, *kernel, depth), 0
        if depthwise:
            shape, axis = (1, *kernel, depth * channels), 3
        fields: dict[str, OptionValue] = {
            "padding": PADDINGS[padding],
            "stride_h": stride[0],
            "stride_w": stride[1],
            "fused_activation_function": ACTIVATIONS[activation],
        }
        if depthwise:
            fields["depth_multiplier"] = channels
        options = Options("DepthwiseConv2DOptions" if depthwise else "Conv2DOptions", fields)
        constants = self._weights(shape, axis, source.scale, target, activation, per_channel=True)
        result = (1, *window.output_size(), shape[axis])
        operator = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        return self.layer(operator, [source, *constants], result, target, options)

    def transpose_convolution(self, source: Tensor, channels: int, target: Quantization) -> Tensor:
        """TRANSPOSE_CONV that doubles height and width with a 3x3 kernel."""
        result = (1, source.shape[1] * 2, source.shape[2] * 2, channels)
        weights = self._weights((channels, 3, 3, source.shape[3]), 0, source.scale, target, "none", True)
        fields = {"padding": PADDINGS["same"], "stride_h": 2, "stride_w": 2}
        shape = self.graph.constant("output_shape", result)
        inputs: list[Tensor | int] = [shape, weights[0], source, weights[1]]
        return self.layer("TRANSPOSE_CONV", inputs, result, target, Options("TransposeConvOptions", fields))

    def dense(self, source: Tensor, units: int, target: Quantization, *, activation: str = "none") -> Tensor:
        """FULLY_CONNECTED over the last axis, with per-tensor weights."""
        weights = self._weights((units, source.shape[-1]), 0, source.scale, target, activation, False)
        options = Options("FullyConnectedOptions", {"fused_activation_function": ACTIVATIONS[activation]})
        return self.layer("FULLY_CONNECTED", [source, *weights], (1, units), target, options)

    def pool(self, source: Tensor, operator: str, kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
        """AVERAGE_POOL_2D or MAX_POOL_2D with SAME padding."""
        window = Window((source.shape[1], source.shape[2]), kernel, stride)
        fields: Mapping[str, OptionValue] = {
            "padding": PADDINGS["same"],
            "stride_h": stride[0],
            "stride_w": stride[1],
            "filter_height": kernel[0],
            "filter_width": kernel[1],
        }
        result = (1, *window.output_size(), source.shape[3])
        return self.layer(operator, [source], result, source.quantization, Options("Pool2DOptions", fields))

    def pad(self, source: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
        """PAD by (before, after) per axis."""
        result = [size + sum(pair) for size, pair in zip(source.shape, widths, strict=True)]
        constant = self.graph.constant("paddings", widths)
        return self.layer("PAD", [source, constant], result, source.quantization, Options("PadOptions"))

    def binary(
        self, operator: str, first: Tensor, second: Tensor, target: Quantization, *, activation: str = "none"
    ) -> Tensor:
        """ADD, SUB or MUL, broadcasting."""
        options = Options(
            f"{operator.capitalize()}Options", {"fused_activation_function": ACTIVATIONS[activation]}
        )
        shape = np.broadcast_shapes(first.shape, second.shape)
        return self.layer(operator, [first, second], shape, target, options)

    def unary(
        self,
        operator: str,
        source: Tensor,
        target: Quantization | None = None,
        options: Options | None = None,
    ) -> Tensor:
        """An element-wise operator; keeps the quantisation unless `target` is given."""
        return self.layer(operator, [source], source.shape, target or source.quantization, options)

    def concatenation(self, sources: Sequence[Tensor], axis: int = 3) -> Tensor:
        """CONCATENATION of tensors that share one quantisation."""
        shape = list(sources[0].shape)
        shape[axis] = sum(source.shape[axis] for source in sources)
        options = Options("ConcatenationOptions", {"axis": axis})
        return self.layer("CONCATENATION", sources, shape, sources[0].quantization, options)

    def reshape(self, source: Tensor, shape: Sequence[int]) -> Tensor:
        """RESHAPE to a static shape."""
        constant = self.graph.constant("shape", list(shape))
        options = Options("ReshapeOptions", {"new_shape": tuple(shape)})
        return self.layer("RESHAPE", [source, constant], shape, source.quantization, options)

    def parts(
        self, operator: str, inputs: Sequence[Tensor | int], count: int, part: Tensor, options: Options
    ) -> list[Tensor]:
        """SPLIT or UNPACK: `count` results with the shape and quantisation of `part`."""
        results = [
            self._tensor(operator.lower(), part.shape, part.quantization, part.dtype) for _ in range(count)
        ]
        indices = [value.index if isinstance(value, Tensor) else value for value in inputs]
        self.graph.operator(operator, indices, [result.index for result in results], options)
        return results

    def finish(self, *outputs: Tensor) -> Network:
        """Name the outputs and write the model."""
        self.graph.outputs.extend(output.index for output in outputs)
        return Network(self.id, write_model(self.graph))

    def _tensor(
        self, name: str, shape: Sequence[int], quantization: Quantization | None, dtype: str
    ) -> Tensor:
        index = self.graph.tensor(
            f"{name}_{len(self.graph.tensors)}",
            shape,
            dtype,
            scale=None if quantization is None else quantization.scale,
            zero_point=0 if quantization is None else quantization.zero_point,
        )
        return Tensor(index, tuple(shape), quantization, dtype)

    def _weights(
        self,
        shape: tuple[int, ...],
        axis: int,
        source: Quantization,
        target: Quantization,
        activation: str,
        per_channel: bool,
    ) -> list[int]:
        weight, bias = Weights(per_channel).operands(
            self.generator, shape, axis, (source, target), activation
        )
        assert bias is not None
        return [
            self.graph.tensor(
                f"{name}_{len(self.graph.tensors)}",
                value.shape,
                value.dtype,
                scale=value.scale,
                zero_point=value.zero_point,
                quantized_dimension=value.axis,
                data=value.data,
            )
            for name, value in (("weights", weight), ("bias", bias))
        ]
