"""The pair tile of Armv6-M: two pixels in one register, so that one multiplication makes two products.

A word of activations holds two neighbouring pixels, the second one in the upper half: first + (second << 16). A word of
weights holds one weight. Sixteen bits hold the sum of two products of an int8 activation with weights whose magnitudes
sum to at most 255. After each step of two products, their sum goes to `whole`, and its upper half, rounded, to
`high`: `high` is then the second pixel's sum and `whole - (high << 16)` the first's. The shift leaves the bit that
rounds in the carry flag, which low registers can be added with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.script.ir_builder import tirx as T  # noqa: N812

from ..kernel import MicroKernel
from ..requantize_split import SHIFT_BITS, SplitForm
from . import thumb1_assembly as thumb1
from .tensor_intrinsic import Operand, register
from .thumb1_assembly import CONSTANTS, WORD

PARAMETERS = """
    const int32_t *data, const int32_t *weight, const int32_t *factors, const int8_t *fine, int8_t *output,
    int32_t pairs, int32_t depth, int32_t entry, int32_t pitch, int32_t point, int32_t rounding"""
# Registers of `whole` and `high` of each channel while they are summed, and where `high` is afterwards.
WHOLE, UPPER, KEPT = ("r8", "r9"), ("r6", "r7"), ("r12", "r10")
LANES = len(WHOLE)
# Steps of two products that the reduction loop unrolls.
UNROLL = 8
# Sixteen bits hold the products of an activation with weights of this sum.
LARGEST_WEIGHTS = 255
# Words of the frame after the channels' constants: weights, bytes of a pair's data, end of all data, bytes of output.
WEIGHT, SPAN, END, STEP = range(4)


@dataclass(frozen=True)
class PairTile:
    """Pixels in pairs times one or two channels.

    pairs: pairs of neighbouring pixels; lanes: channels; depth: products per output, even.
    output_pitch: elements from one pixel's outputs to the next's. point, rounding: see `SplitRequantization`.
    """

    pairs: int
    lanes: int
    depth: int
    output_pitch: int
    clamp_min: int
    clamp_max: int
    form: SplitForm
    point: int
    rounding: int

    @property
    def name(self) -> str:
        """Name of the C function, which is the same for all sizes."""
        clamp = thumb1.clamp_name(self.clamp_min, self.clamp_max)
        return f"tinyml_pairs_x{self.lanes}_{self.form.name}{clamp}"

    @property
    def step(self) -> list[str]:
        """Two products of each channel for two pixels."""
        code = ["ldmia r0!, {r2, r3}"]
        for whole, high in zip(WHOLE[: self.lanes], UPPER, strict=False):
            code += ["ldmia r1!, {r4, r5}", "muls r4, r2, r4", "muls r5, r3, r5", "adds r4, r4, r5"]
            code += [f"add {whole}, r4", "asrs r4, r4, #16", f"adcs {high}, r4"]
        return code

    @property
    def arguments(self) -> list[int]:
        """Constants of a call after its pointers."""
        # The unrolled loop is entered where as many steps are left as its last round lacks.
        entry = -(self.depth // 2) % UNROLL * 2 * len(self.step)
        return [self.pairs, self.depth, entry, self.output_pitch, self.point, self.rounding]

    def micro_kernel(self) -> MicroKernel:
        """The C function; its last parameters are `arguments`."""
        first = CONSTANTS * self.lanes
        frame = WORD * (first + STEP + 1)
        weight, span, end, step = (f"[sp, #{WORD * (first + place)}]" for place in range(STEP + 1))
        output, pairs, depth, entry, pitch, point, rounding = (
            thumb1.argument(index, frame) for index in range(7)
        )
        code = [f"str r1, {weight}", "mov lr, r0"]
        for lane in range(self.lanes):
            code += thumb1.constants_of(lane, CONSTANTS * lane, self.form, "r2", "r3", point, rounding)
        code += ["adr r4, 2f", f"ldr r5, {entry}", "adds r4, r4, r5", "mov r11, r4"]
        code += [f"ldr r4, {depth}", "lsls r4, r4, #2", f"str r4, {span}", f"ldr r5, {pairs}"]
        code += ["muls r5, r4, r5", "adds r5, r5, r0", f"str r5, {end}"]
        code += [f"ldr r4, {pitch}", "lsls r4, r4, #1", f"str r4, {step}", "1:"]
        for lane, (whole, high) in enumerate(zip(WHOLE[: self.lanes], UPPER, strict=False)):
            code += thumb1.start_sums(CONSTANTS * lane, whole, high, "r3")
        code += ["mov r0, lr", f"ldr r3, {span}", "add lr, r3", f"ldr r1, {weight}", "mov pc, r11"]
        code += [".balign 4", "2:", *(self.step * UNROLL), "cmp r0, lr", "bne 2b"]
        code += [f"mov {kept}, {high}" for kept, high in zip(KEPT[: self.lanes], UPPER, strict=False)]
        for lane in range(self.lanes):
            code += self._outputs(lane, output, pitch)
        code += [f"ldr r0, {step}", "adds r6, r6, r0", f"str r6, {output}"]
        code += [f"ldr r7, {end}", "cmp lr, r7", "beq 9f", "b 1b", "9:"]
        return thumb1.function(self.name, PARAMETERS, code, frame)

    def _outputs(self, lane: int, output: str, pitch: str) -> list[str]:
        """Both outputs of a channel; r6 points to the first pixel's outputs in the end."""
        finished = thumb1.requantized(self.form, self.clamp_min, self.clamp_max)
        again = [f"ldr r6, {output}"] if thumb1.spoils_r6(self.form) else []
        second = ["strb r7, [r6, r0]"] if lane == 0 else ["adds r0, r0, r6", f"strb r7, [r0, #{lane}]"]
        return [
            *thumb1.pair_sums(WHOLE[lane], KEPT[lane]),
            *thumb1.load_constants(CONSTANTS * lane, self.form),
            *finished,
            *([f"ldr r6, {output}"] if lane == 0 or again else []),
            f"strb r7, [r6, #{lane}]",
            f"mov r7, {KEPT[lane]}",
            *finished,
            *again,
            f"ldr r0, {pitch}",
            *second,
        ]

    def block(self, operands: PairOperands) -> None:
        """Emit what the tile computes as a TensorIR block's contents."""
        o = operands
        (p, c), pixels = o.output_at, 2 * self.pairs
        T.reads(
            o.data[0 : self.pairs, 0 : self.depth],
            o.weight[0 : self.depth * self.lanes],
            o.factors[o.channel : o.channel + self.lanes, 0:2],
            o.fine[o.channel : o.channel + self.lanes],
        )
        T.writes(o.output[p : p + pixels, c : c + self.lanes], o.sums[0:pixels, 0 : self.lanes])
        with T.grid(pixels, self.lanes) as (i, j), T.sblock("bias"):
            vi, vj = T.axis.remap("SS", [i, j])
            T.buffer_store(o.sums, o.factors[o.channel + vj, 0], [vi, vj])
        for half, name in enumerate(("first", "second")):
            with T.grid(self.pairs, self.lanes, self.depth) as (i, j, k), T.sblock(name):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                value = half_of(o.data[vi, vk], half)
                # Simplification knows that a single step has no number, but not everywhere.
                step, product_of_step = (vk // 2, vk % 2) if self.depth > 2 else (0, vk)
                product = value * o.weight[step * (2 * self.lanes) + vj * 2 + product_of_step]
                T.buffer_store(o.sums, o.sums[vi * 2 + half, vj] + product, [vi * 2 + half, vj])
        with T.grid(pixels, self.lanes) as (i, j), T.sblock("requantize"):
            vi, vj = T.axis.remap("SS", [i, j])
            word, fine = o.factors[o.channel + vj, 1], o.fine[o.channel + vj]
            limits = (self.clamp_min, self.clamp_max)
            value = split_expr(o.sums[vi, vj], word, fine, self.form, (self.point, self.rounding), limits)
            T.buffer_store(o.output, value, [p + vi, c + vj])

    def register(self) -> str:
        """Register the tile as a tensor intrinsic and return its name."""
        operands = {
            "data": Operand((self.pairs, self.depth), "int32", self.depth),
            "weight": Operand((self.depth * self.lanes,), "int32"),
            "factors": Operand((self.lanes, 2), "int32", 2),
            "fine": Operand((self.lanes,), "int8"),
            "output": Operand((2 * self.pairs, self.lanes), "int8", self.output_pitch, written=True),
            "sums": Operand((2 * self.pairs, self.lanes), "int32", self.lanes, written=True, passed=False),
        }
        return register(
            self.name, operands, lambda *buffers: self.block(PairOperands(*buffers)), self.arguments
        )


@dataclass(frozen=True)
class PairOperands:
    """Where a tile finds its operands.

    data: words[pairs, depth]; weight: words[depth * lanes], both products of a step side by side, channel after
    channel; factors: int32[channels, 2] and fine: int8[channels] of `SplitRequantization`, from `channel` on;
    output: int8[pixels, channels], from `output_at` on; sums: int32[pixels, lanes].
    """

    data: Any
    weight: Any
    factors: Any
    fine: Any
    output: Any
    sums: Any
    channel: Any = 0
    output_at: tuple[Any, Any] = (0, 0)


def half_of(word: Any, half: int) -> Any:
    """TensorIR expression of the first (0) or second (1) pixel of a word."""
    second = T.shift_right(word + T.int32(1 << 15), T.int32(16))
    return second if half else word - second * T.int32(1 << 16)


def split_expr(
    x: Any, word: Any, fine: Any, form: SplitForm, shared: tuple[int, int], limits: tuple[int, int]
) -> Any:
    """TensorIR expression of one output, int8.

    word, fine: the channel's constants; shared: point and rounding; limits: least and largest output.
    """
    bits, mask = T.int32(form.bits), T.int32((1 << form.bits) - 1)
    shift = T.bitwise_and(word, T.int32((1 << SHIFT_BITS) - 1))
    highest, *rest = (
        T.bitwise_and(T.shift_right(word, T.int32(SHIFT_BITS + form.bits * part)), mask)
        for part in reversed(range(form.parts))
    )
    carried = T.shift_right(x * rest[-1], bits)
    for part in reversed(rest[:-1]):
        carried = T.shift_right(x * part + carried, bits)
    total = x * highest + carried
    if form.signed:
        total = total + T.shift_left(T.shift_right(x, T.int32(31)), bits)
    point, rounding = shared
    addend = T.shift_right(T.shift_left(T.int32(point), shift), T.int32(1)) + rounding + T.Cast("int32", fine)
    scaled = T.shift_right(total + addend, shift)
    return T.Cast("int8", T.max(T.min(scaled, T.int32(limits[1])), T.int32(limits[0])))
