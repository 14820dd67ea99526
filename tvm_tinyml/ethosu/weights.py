"""Weights and channel parameters as an NPU reads them.

Weights come compressed, for one slice of output channels, in the order in which the hardware uses them: blocks of
output channels, of 32 (or 16) input channels, of 8 x 8 kernel elements, and within these micro-blocks. Channel
parameters are ten bytes each: 40 bits of bias, 32 bits of multiplier, 6 bits of shift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvm_tinyml.ethosu.errors import CommandStreamError
from tvm_tinyml.ethosu.kernel import Kernel
from tvm_tinyml.ethosu.memory import Memory
from tvm_tinyml.ethosu.registers import Register, WideRegister
from tvm_tinyml.ethosu.stream import Hardware, Operation

_PARAMETER_BYTES = 10
_SUB_KERNEL = 8
_INPUT_MICRO_BLOCK = 8


@dataclass(frozen=True)
class ChannelParameters:
    """Bias, multiplier and shift of every output channel, each of shape (channels,)."""

    biases: NDArray[np.int64]
    multipliers: NDArray[np.int64]
    shifts: NDArray[np.int64]


def channel_parameters(operation: Operation, memory: Memory, channels: int) -> ChannelParameters:
    """The parameters of `channels` output channels."""
    length = operation.get(WideRegister.SCALE_LENGTH)
    if length < channels * _PARAMETER_BYTES:
        raise operation.error(f"has {length} bytes of channel parameters for {channels} channels")
    data = memory.span(operation, Register.SCALE_REGION, WideRegister.SCALE_BASE, channels * _PARAMETER_BYTES)
    rows = data.reshape(channels, _PARAMETER_BYTES).astype(np.int64)
    biases = sum(rows[:, byte] << 8 * byte for byte in range(5))
    multipliers = sum(rows[:, 5 + byte] << 8 * byte for byte in range(4))
    return ChannelParameters(
        np.where(biases >> 39, biases - (1 << 40), biases), np.asarray(multipliers), rows[:, 9] & 0x3F
    )


def weights(
    operation: Operation,
    memory: Memory,
    hardware: Hardware,
    kernel: Kernel,
    input_channels: int,
    channels: int,
) -> NDArray[np.int64]:
    """Weights of shape (channels, height, width, input channels); one input channel for a depthwise operation."""
    length = operation.get(WideRegister.WEIGHT_LENGTH)
    stream = memory.span(operation, Register.WEIGHT_REGION, WideRegister.WEIGHT_BASE, length)
    decoded = _decode(operation, bytearray(stream.tobytes()))
    order = _Order(
        kernel,
        input_channels,
        channels,
        block=operation.get(Register.OFM_BLK_DEPTH_M1) + 1,
        micro_block=hardware.output_channels_per_micro_block,
        wide_input=operation.get(Register.IFM_PRECISION) >> 2 & 3 == 1,
    )
    size = channels * kernel.height * kernel.width * input_channels
    places = order.places() if size <= len(decoded) else None
    if places is None or len(places) > len(decoded):
        raise operation.error(f"has {len(decoded)} weights, fewer than its shape takes")
    result = np.zeros(size, np.int64)
    held = places >= 0
    result[places[held]] = decoded[: len(places)][held]
    return result.reshape(channels, kernel.height, kernel.width, input_channels)


@dataclass(frozen=True)
class _Order:
    """The order of weights in a stream."""

    kernel: Kernel
    input_channels: int
    channels: int
    block: int
    micro_block: int
    wide_input: bool

    def places(self) -> NDArray[np.int64]:
        """For each weight of the stream its index in (channels, height, width, input channels), -1 for filling."""
        return np.concatenate([place.reshape(-1) for place in self._blocks()])

    def _blocks(self) -> Iterator[NDArray[np.int64]]:
        kernel, depth = self.kernel, 16 if self.kernel.part_kernel_first or self.wide_input else 32
        for channel in range(0, self.channels, self.block):
            outputs = _padded(channel, min(self.block, self.channels - channel), self.micro_block)
            for start in range(0, self.input_channels, depth):
                # Depth first, the hardware takes whole blocks of input channels, the last one filled up.
                held = min(depth, self.input_channels - start) if kernel.part_kernel_first else depth
                inputs = self._inputs(start, held)
                for top in range(0, kernel.height, _SUB_KERNEL // kernel.dilation_y):
                    for left in range(0, kernel.width, _SUB_KERNEL // kernel.dilation_x):
                        yield self._sub_kernel(outputs, inputs, self._elements(top, left))

    def _inputs(self, start: int, count: int) -> NDArray[np.int64]:
        if self.kernel.depthwise:
            return np.zeros((1, 1), np.int64)
        return _padded(start, count, _INPUT_MICRO_BLOCK)

    def _elements(self, top: int, left: int) -> NDArray[np.int64]:
        """Elements of a sub-kernel as row * width + column, -1 for those that fill up a group."""
        kernel = self.kernel
        rows = range(top, min(kernel.height, top + _SUB_KERNEL // kernel.dilation_y))
        columns = range(left, min(kernel.width, left + _SUB_KERNEL // kernel.dilation_x))
        elements = [row * kernel.width + column for row in rows for column in columns]
        group = 1
        if kernel.depthwise or kernel.part_kernel_first:
            group = 2 if self.wide_input and not kernel.depthwise else 4
        return np.array(elements + [-1] * (-len(elements) % group), np.int64)

    def _sub_kernel(
        self, outputs: NDArray[np.int64], inputs: NDArray[np.int64], elements: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Places of one sub-kernel for all micro-blocks of (groups, channels) outputs and inputs."""
        # Axes: output group, output channel, element, input group, input channel.
        output = outputs[:, :, None, None, None]
        element = elements[None, None, :, None, None]
        input_channel = inputs[None, None, None, :, :]
        place = (
            output * self.kernel.height * self.kernel.width + element
        ) * self.input_channels + input_channel
        place = np.where(
            (output < self.channels) & (element >= 0) & (input_channel < self.input_channels), place, -1
        )
        axes = (3, 0, 2, 1, 4) if self.kernel.part_kernel_first else (0, 2, 3, 1, 4)
        return np.transpose(place, axes)


def _padded(start: int, count: int, group: int) -> NDArray[np.int64]:
    """Channels from `start` in groups, the last of them filled up."""
    groups = -(-count // group)
    return start + np.arange(groups * group).reshape(groups, group)


def _decode(operation: Operation, stream: bytearray) -> NDArray[np.int64]:
    try:
        from ethosu import mlw_codec
    except ImportError:
        raise CommandStreamError(
            "the functional model of Ethos-U decodes weights with ethos-u-vela: pip install 'tvm-tinyml[ethosu]'"
        ) from None
    try:
        return np.array(mlw_codec.decode(stream), np.int64)
    except Exception as error:
        raise operation.error(f"has weights that do not decode: {error}") from error
