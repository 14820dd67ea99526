"""Scalar schedule of depthwise_conv2d: one channel at a time, its weights in registers, row after row.

Rows of output whose window hangs over the top or bottom of the image are strips of their own: the window is moved back
inside and its weights are moved against it, with zeros for the rows that fall out. The weights of the channel lie
between rows of zeros for that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm import s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812

from .intrinsics.rv32_assembly import OutOfRegistersError
from .intrinsics.rv32_depthwise import OutOfReachError
from .intrinsics.scalar_depthwise import DepthwiseStrip, StripOperands
from .intrinsics.scalar_memory import Copy
from .kernel import Array, Candidate, Kernel, MicroKernel, Problem
from .parts import Parts
from .requantize import accumulator_range
from .requantize_scalar import ScalarRequantization, choose
from .tensor_ir import drop_unit_loops

# Of the loops around a call, and of what passes its arguments; measured on RV32 and Cortex-M3.
INSTRUCTIONS_PER_CALL = 14.0
# Of strips in C, whose weights do not fit the registers; measured on Cortex-M3 with both compilers.
C_INSTRUCTIONS_PER_PRODUCT = 4.1
C_INSTRUCTIONS_PER_OUTPUT = 9.0
C_INSTRUCTIONS_PER_STRIP = 40.0


def schedule_depthwise_strip(problem: Problem) -> Candidate | None:
    """Schedule depthwise_conv2d with kernels small enough for the registers; None otherwise."""
    if problem.operator != "depthwise_conv2d" or "thumb1" in problem.features:
        return None
    attrs = problem.attrs
    images, height, width, channels = problem.shapes["data"]
    _, kernel_h, kernel_w, outputs = problem.shapes["weight"]
    stride_h, stride_w = attrs["strides"]
    if tuple(attrs["dilation"]) != (1, 1) or stride_h != stride_w or kernel_h > height:
        return None
    left, last = attrs["padding"][1], (problem.output_shape[2] - 1) * stride_w - attrs["padding"][1]
    if left >= kernel_w or last >= width or kernel_w > width:
        # A strip has no code for windows that meet no column of the image, and guards of windows that are wider than
        # the image are simplified in different ways.
        return None
    reach = accumulator_range(
        problem.constants["weight"], problem.constants["bias"], attrs["input_zero_point"], channel_axis=3
    )
    form = choose(problem.constants, attrs, reach)
    if form is None:
        return None
    strip = DepthwiseStrip(
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride=stride_w,
        width=width,
        outputs=problem.output_shape[2],
        pad=attrs["padding"][1],
        pitch=channels,
        output_pitch=outputs,
        zero_point=attrs["input_zero_point"],
        epilogue=form.epilogue(attrs),
    )
    layer = _Layer(
        strip, images, height, problem.output_shape[1], attrs["padding"][0], attrs["depth_multiplier"]
    )
    if not layer.clipped:
        # Every window meets all of its weights, so what the zero point adds to them is known.
        layer = replace(layer, strip=replace(strip, folded=True))
    try:
        layer.strip.micro_kernel()
    except (OutOfRegistersError, OutOfReachError):
        return None
    parts = layer.parts(rv32=problem.is_scalar_rv32)
    return Candidate(
        rule="scalar depthwise strips",
        instructions=parts.total,
        parts=parts,
        build=lambda: _build(layer, problem.constants["weight"], form),
        micro_kernels=layer.micro_kernels,
        scratch=layer.scratch,
    )


def _build(layer: _Layer, weight: Array, form: ScalarRequantization) -> Kernel:
    sch = s_tir.Schedule(drop_unit_loops(layer.function()))
    for block, rows in layer.blocks().items():
        sch.tensorize(sch.get_sblock(block), layer.strip.register(rows))
    if layer.pads:
        sch.tensorize(sch.get_sblock("taps"), layer.copy.register())
    constants = form.constants_by_channel(weight)
    if layer.strip.folded:
        sums = constants["weight"].astype(np.int64).sum(axis=1)
        constants["factors"] = form.without(layer.strip.zero_point * sums)
    return Kernel(sch.mod["main"], constants, layer.micro_kernels())


@dataclass(frozen=True)
class _Layer:
    strip: DepthwiseStrip
    images: int
    height: int
    rows: int
    pad: int
    multiplier: int

    def origin(self, row: int) -> int:
        """First input row of an output row's window; negative in the padding."""
        return row * self.strip.stride - self.pad

    @property
    def last(self) -> int:
        """Last input row at which a window lies inside the image."""
        return self.height - self.strip.kernel_h

    @property
    def inside(self) -> list[int]:
        """Output rows whose window lies inside the image."""
        return [row for row in range(self.rows) if 0 <= self.origin(row) <= self.last]

    @property
    def clipped(self) -> list[int]:
        """Output rows whose window does not."""
        return [row for row in range(self.rows) if not 0 <= self.origin(row) <= self.last]

    @property
    def pads(self) -> int:
        """Rows of zeros on each side of the weights."""
        moves = [abs(min(max(self.origin(row), 0), self.last) - self.origin(row)) for row in self.clipped]
        return max(moves, default=0)

    @property
    def copy(self) -> Copy:
        """Puts a channel's weights between the rows of zeros."""
        return Copy(self.strip.kernel_h * self.strip.kernel_w, aligned=False)

    def micro_kernels(self) -> tuple[MicroKernel, ...]:
        """The strip, and the copy where weights are moved."""
        return (self.strip.micro_kernel(), *((self.copy.micro_kernel(),) if self.pads else ()))

    @property
    def scratch(self) -> int:
        """Bytes of the weights between the rows of zeros."""
        return (self.strip.kernel_h + 2 * self.pads) * self.strip.kernel_w if self.pads else 0

    def parts(self, *, rv32: bool) -> Parts:
        """Estimate for the layer."""
        strips = sum((self._strip(rows, rv32=rv32) for rows in self.blocks().values()), Parts())
        calls = len(self.blocks()) * INSTRUCTIONS_PER_CALL
        copies = self.strip.kernel_h * self.strip.kernel_w + INSTRUCTIONS_PER_CALL if self.pads else 0
        return (strips + Parts(copies=copies, calls=calls)) * (self.images * self.strip.output_pitch)

    def _strip(self, rows: int, *, rv32: bool) -> Parts:
        strip = self.strip
        if rv32:
            return strip.parts_rv32(rows)
        products = strip.multiplications(rows)
        return Parts(
            products=C_INSTRUCTIONS_PER_PRODUCT * products,
            outputs=C_INSTRUCTIONS_PER_OUTPUT * rows * strip.outputs,
            calls=C_INSTRUCTIONS_PER_STRIP,
            multiplications=products,
        )

    def blocks(self) -> dict[str, int]:
        """Rows of output of every strip, by the name of its block."""
        names = {f"row_{row}": 1 for row in self.clipped}
        return names | ({"rows": len(self.inside)} if self.inside else {})

    def function(self) -> Any:
        """TensorIR of the layer."""
        strip, taps = self.strip, self.strip.kernel_h * self.strip.kernel_w
        channels = strip.output_pitch
        with IRBuilder() as builder, T.prim_func(s_tir=True):
            T.func_name("main")
            data = T.arg("data", T.buffer((self.images * self.height, strip.width * strip.pitch), "int8"))
            weight = T.arg("weight", T.buffer((channels, taps), "int8"))
            factors = T.arg("factors", T.buffer((channels, 2), "int32"))
            fine = T.arg("fine", T.buffer((channels,), strip.epilogue.fine_type))
            output = T.arg("output", T.buffer((self.images * self.rows, strip.outputs * channels), "int8"))
            with T.sblock("root"):
                padded = weight
                margin = self.pads * strip.kernel_w
                if self.pads:
                    padded = T.sblock_alloc_buffer((1, taps + 2 * margin), "int8")
                    IRBuilder.name("taps", padded)
                    with T.serial(0, taps + 2 * margin) as k, T.sblock("zeros"):
                        vk = T.axis.spatial(taps + 2 * margin, k)
                        T.buffer_store(padded, T.int8(0), [0, vk])
                with T.grid(self.images, channels) as (image, channel):
                    if self.pads:
                        with T.sblock("taps"):
                            vc = T.axis.spatial(channels, channel)
                            self.copy.block(padded, (0, margin), weight, (vc, 0))
                    for name, rows in self.blocks().items():
                        row = self.inside[0] if name == "rows" else int(name.removeprefix("row_"))
                        first = min(max(self.origin(row), 0), self.last)
                        place = margin + (first - self.origin(row)) * strip.kernel_w
                        sums = T.sblock_alloc_buffer((rows, strip.outputs), "int32")
                        with T.sblock(name):
                            vn, vc = T.axis.spatial(self.images, image), T.axis.spatial(channels, channel)
                            operands = StripOperands(
                                data=data,
                                weight=padded,
                                factors=factors,
                                fine=fine,
                                sums=sums,
                                output=output,
                                data_at=(vn * self.height + first, vc // self.multiplier),
                                weight_at=(0, place) if self.pads else (vc, 0),
                                channel=vc,
                                output_at=(vn * self.rows + row, vc),
                            )
                            strip.block(operands, rows)
        return builder.get()
