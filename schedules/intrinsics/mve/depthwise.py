"""Depthwise convolution on channel planes: eight outputs of one channel at a time.

The taps of a window are the lanes of a vector: a gather load brings the taps of up to four neighbouring outputs at
once, and each output multiplies it with the weights shifted to its place. Windows of more than sixteen taps take
several vectors of whole kernel rows. Outputs are enumerated row by row without regard to the end of a row, so nothing
is computed twice but the last incomplete group of eight.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, inf

from ...kernel import MicroKernel
from .assembly import (
    ACCUMULATOR_LIST,
    ACCUMULATORS,
    BYTE_RANGE,
    SAVED_BYTES,
    add_constant,
    function,
    restore,
    save,
)
from .epilogue import Requantization, narrow

LANES = 16
OUTPUTS = 8
# Weight vectors that stay in registers.
MAX_VECTORS = 4
# Instructions of unrolled groups.
MAX_UNROLLED = 640
_PARAMETERS = (
    "const int8_t *planes",
    "const int8_t *weight",
    "const int32_t *table",
    "int8_t *output",
    "int32_t channels",
    "int32_t pitch",
    "int32_t zero_point",
)


@dataclass(frozen=True)
class Depthwise:
    """Geometry of a depthwise tile.

    height, width: outputs of one channel. kernel, strides, dilation: of the window. pitch, size: bytes of a row and
    of a plane. multiplier: output channels per plane.
    """

    height: int
    width: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    pitch: int
    size: int
    multiplier: int
    requantization: Requantization

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""

        def pair(values: tuple[int, int]) -> str:
            return f"{values[0]}x{values[1]}"

        dilation = f"_d{pair(self.dilation)}" if self.dilation != (1, 1) else ""
        several = f"_m{self.multiplier}" if self.multiplier > 1 else ""
        window = f"{pair(self.kernel)}_s{pair(self.strides)}{dilation}{several}"
        shape = f"{self.height}x{self.width}_row{self.pitch}_plane{self.size}"
        return f"tinyml_mve_depthwise_{window}_to_{shape}_{self.requantization.name}"

    @property
    def taps(self) -> int:
        """Taps of a window."""
        return self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class Lanes:
    """How windows lie in vectors.

    rows: kernel rows of one vector. columns: taps per row in the vector. outputs: neighbouring outputs that share it.
    """

    rows: int
    columns: int
    outputs: int
    vectors: int


def lanes_of(tile: Depthwise) -> Lanes | None:
    """The arrangement with the fewest loads, or None when no vectors hold the window."""
    kernel_h, kernel_w = tile.kernel
    stride, dilation = tile.strides[1], tile.dilation[1]
    if kernel_w > LANES:
        return None
    found = None
    if tile.taps <= LANES:
        for outputs in range(1, MAX_VECTORS + 1):
            # Neighbours share taps only when the stride is a multiple of the dilation.
            if outputs > 1 and stride % dilation:
                break
            columns = (outputs - 1) * (stride // dilation if outputs > 1 else 0) + kernel_w
            if kernel_h * columns <= LANES:
                found = Lanes(kernel_h, columns, outputs, outputs)
    else:
        rows = LANES // kernel_w
        vectors = -(-kernel_h // rows)
        found = Lanes(rows, kernel_w, 1, vectors) if vectors <= MAX_VECTORS else None
    if found is None:
        return None
    reach = (found.rows - 1) * tile.dilation[0] * tile.pitch + (found.columns - 1) * dilation
    return found if reach <= 255 else None


# Stack: accumulators, zeros, first weight vector, lanes of its taps, places of outputs, then words.
_ZEROS, _WEIGHTS, _TAPS, _PLACES = 32, 48, 64, 80
_WEIGHT, _TABLE, _OUTPUT, _COUNT, _TURNS, _ZERO_POINT, _ADDEND, _PITCH, _REPEATS = range(96, 132, 4)
_STACK = 132
# Outputs in the order of the lanes that narrowing leaves.
_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)


def depthwise_kernel(tile: Depthwise, lanes: Lanes) -> MicroKernel:
    """Micro-kernel: `channels` outputs of neighbouring planes; table int32[channels][rows of the requantisation].

    `planes` begins with the first tap of the first window; `pitch` is the distance of two output pixels.
    """
    return function(tile.name, _PARAMETERS, _Writer(tile, lanes).code())


def depthwise_instructions(tile: Depthwise, lanes: Lanes, channels: int) -> float:
    """Instructions of one call; infinite when the code would be too long."""
    writer = _Writer(tile, lanes)
    plan = writer.plan()
    if plan is None:
        return inf
    turns, period, rest = plan
    writer.code()
    groups = turns * len(period) + len(rest)
    return 60 + channels * (writer.channel_instructions + turns * 4 + groups * writer.group_instructions)


class _Writer:
    """Code of one tile."""

    def __init__(self, tile: Depthwise, lanes: Lanes) -> None:
        self.tile = tile
        self.lanes = lanes
        vectors = lanes.vectors
        self.offsets, self.data, self.second = (f"q{vectors + index}" for index in range(3))
        free = [f"q{index}" for index in range(vectors + 3, 8)]
        how = tile.requantization
        needs_temporary = how.kind == "sign" or how.clamp_min > -128 or how.clamp_max < 127
        self.temporary = free.pop() if needs_temporary else "none"
        self.places = free.pop(0) if free else ""
        self.zero_point = free.pop(0) if free and how.kind != "fit" else ""
        self.outputs = min(OUTPUTS, tile.height * tile.width)
        self.masks: set[int] = set()
        self.group_instructions = 0.0
        self.channel_instructions = 0.0

    def plan(self) -> tuple[int, list[int], list[int]] | None:
        """Repetitions and first outputs of a periodic part, first outputs of the rest (counted from its start).

        None when the code would be too long.
        """
        height, width = self.tile.height, self.tile.width
        total = height * width
        most = MAX_UNROLLED // len([*self._products(0, 0)[0], *self._requantize()])
        if total <= most * OUTPUTS:
            return 0, [], _starts(total, 0)
        rows = OUTPUTS // gcd(OUTPUTS, width)
        turns = height // rows
        rest = (height - turns * rows) * width
        if turns and (rows * width + rest) // OUTPUTS < most:
            return turns, _starts(rows * width, 0), _starts(rest, OUTPUTS)
        return (height, _starts(width, 0), []) if OUTPUTS <= width <= most * OUTPUTS else None

    def code(self) -> list[str]:
        """The whole function."""
        tile = self.tile
        plan = self.plan()
        if plan is None:
            raise ValueError(f"{tile.name}: {tile.height} x {tile.width} outputs take too much code")
        turns, period, rest = plan
        body = ["1:", *self._load_channel()]
        walked = 0
        groups = 0
        if turns:
            step = (period[-1] + OUTPUTS) // tile.width * tile.strides[0] * tile.pitch
            body += [
                f"movs r0, #{turns}" if turns < 256 else f"movw r0, #{turns}",
                f"str r0, [sp, #{_TURNS}]",
                "3:",
            ]
            inner, position = self._groups(period)
            body += [*inner, *add_constant("r1", step - position)]
            body += [f"ldr r0, [sp, #{_TURNS}]", "subs r0, r0, #1", f"str r0, [sp, #{_TURNS}]", "bne 3b"]
            walked = turns * step
            self.group_instructions = len(inner) / len(period)
            groups = len(inner)
        inner, position = self._groups(rest)
        body += inner
        if rest:
            self.group_instructions = max(self.group_instructions, len(inner) / len(rest))
        body += self._next_channel(walked + position)
        self.channel_instructions = len(body) - groups - len(inner)
        return [*self._prologue(), *body, *restore(_STACK), ".balign 4", "8:", *self._literals()]

    def _prologue(self) -> list[str]:
        arguments = _STACK + SAVED_BYTES
        code = [
            *save(_STACK),
            f"str r1, [sp, #{_WEIGHT}]",
            f"str r2, [sp, #{_TABLE}]",
            f"str r3, [sp, #{_OUTPUT}]",
        ]
        code += ["mov r7, r3", "mov r1, r0", f"ldr r4, [sp, #{arguments + 4}]", f"str r4, [sp, #{_PITCH}]"]
        code += ["lsl r9, r4, #3", f"ldr r0, [sp, #{arguments}]", f"str r0, [sp, #{_COUNT}]"]
        code += [f"ldr r0, [sp, #{arguments + 8}]"]
        code += [f"vdup.16 {self.zero_point}, r0" if self.zero_point else f"str r0, [sp, #{_ZERO_POINT}]"]
        if self.tile.multiplier > 1:
            code += [f"movs r0, #{self.tile.multiplier}", f"str r0, [sp, #{_REPEATS}]"]
        code += ["adr.w r0, 8f", f"vldrb.u8 {self.offsets}, [r0]"]
        if self.lanes.outputs > 1:
            code += ["vldrb.u8 q0, [r0, #16]", f"vstrw.32 q0, [sp, #{_TAPS}]", "vmov.i32 q0, #0"]
            code += [f"vstrw.32 q0, [sp, #{_ZEROS}]"]
        places = self.places or "q0"
        code += [
            "lsl r0, r4, #18",
            "add r6, r4, r4, lsl #16",
            "add r2, r0, r6",
            "add r8, r2, r6",
            "add r10, r8, r6",
        ]
        code += [f"vmov {places}[2], {places}[0], r0, r8", f"vmov {places}[3], {places}[1], r2, r10"]
        code += [] if self.places else [f"vstrw.32 q0, [sp, #{_PLACES}]"]
        if len(set(self._weight_masks())) == 1 and self.outputs == OUTPUTS:
            code += self._set_mask(self._weight_masks()[0])
        return code

    def _weight_masks(self) -> list[int]:
        """Lanes that carry taps, of every vector that is loaded from memory."""
        kernel_h, kernel_w = self.tile.kernel
        lanes = self.lanes
        if lanes.outputs > 1:
            row = (1 << kernel_w) - 1
            return [sum(row << index * lanes.columns for index in range(kernel_h))]
        whole = (1 << lanes.rows * kernel_w) - 1 if lanes.vectors > 1 else (1 << self.tile.taps) - 1
        last = kernel_h - (lanes.vectors - 1) * lanes.rows
        repeated = (1 << (lanes.rows - last) * kernel_w) - 1 if lanes.vectors > 1 else 0
        return [whole] * (lanes.vectors - 1) + [whole & ~repeated]

    def _first_row(self, vector: int) -> int:
        """Kernel row with which a vector begins; the last one ends with the last row."""
        if self.lanes.vectors == 1 or self.lanes.outputs > 1:
            return 0
        return min(vector * self.lanes.rows, self.tile.kernel[0] - self.lanes.rows)

    @staticmethod
    def _set_mask(mask: int) -> list[str]:
        return [f"movw r0, #{mask}", "vmsr p0, r0"]

    def _load_channel(self) -> list[str]:
        """Weights and constants of the next channel; r1 at its plane and r7 at its first output already."""
        masks = self._weight_masks()
        again = len(set(masks)) > 1 or self.outputs < OUTPUTS
        code = [f"ldr r3, [sp, #{_WEIGHT}]"]
        if self.lanes.outputs > 1:
            code += self._set_mask(masks[0]) if again else []
            code += [f"vldrw.u32 {self.data}, [sp, #{_TAPS}]", "vpst", f"vldrbt.u8 q0, [r3, {self.data}]"]
            code += [f"vstrw.32 q0, [sp, #{_WEIGHTS}]"]
            step = self.tile.strides[1] // self.tile.dilation[1]
            code += ["add r0, sp, #" + str(_WEIGHTS)]
            code += [f"vldrb.u8 q{index}, [r0, #{-index * step}]" for index in range(1, self.lanes.outputs)]
        else:
            for vector in range(self.lanes.vectors):
                if again and (vector == 0 or masks[vector] != masks[vector - 1]):
                    code += self._set_mask(masks[vector])
                code += [
                    "vpst",
                    f"vldrbt.u8 q{vector}, [r3, #{self._first_row(vector) * self.tile.kernel[1]}]",
                ]
        code += [*add_constant("r3", self.tile.taps), f"str r3, [sp, #{_WEIGHT}]", f"ldr r0, [sp, #{_TABLE}]"]
        fitted = self.tile.requantization.kind == "fit"
        code += ["ldm r0!, {r3, r5, r11, r12}" if fitted else "ldm r0!, {r3, r5, r11}"]
        code += [f"str r12, [sp, #{_ADDEND}]"] if fitted else []
        code += [f"str r0, [sp, #{_TABLE}]"]
        if self.outputs < OUTPUTS:
            stored = sum(3 << 2 * lane for lane, output in enumerate(_ORDER) if output < self.outputs)
            code += self._set_mask(stored)
        return code

    def _next_channel(self, walked: int) -> list[str]:
        size = self.tile.size
        code = [f"ldr r7, [sp, #{_OUTPUT}]", "adds r7, r7, #1", f"str r7, [sp, #{_OUTPUT}]"]
        if self.tile.multiplier > 1:
            code += [*add_constant("r1", -walked), f"ldr r0, [sp, #{_REPEATS}]", "subs r0, r0, #1", "bne 4f"]
            code += [
                *add_constant("r1", size),
                f"movs r0, #{self.tile.multiplier}",
                "4:",
                f"str r0, [sp, #{_REPEATS}]",
            ]
        else:
            code += add_constant("r1", size - walked)
        return [*code, f"ldr r0, [sp, #{_COUNT}]", "subs r0, r0, #1", f"str r0, [sp, #{_COUNT}]", "bne 1b"]

    def _groups(self, starts: list[int]) -> tuple[list[str], int]:
        """Code of groups of outputs and where r1 stands after them, counted from the first window."""
        code: list[str] = []
        position, expected = 0, 0
        for start in starts:
            if start < expected:
                code += [f"ldr r0, [sp, #{_PITCH}]", f"movs r2, #{expected - start}", "mls r7, r0, r2, r7"]
            expected = start + OUTPUTS
            group, position = self._products(start, position)
            code += [*group, *self._requantize()]
            code += ["add r7, r7, r9"]
        return code, position

    def _products(self, start: int, position: int) -> tuple[list[str], int]:
        tile, lanes = self.tile, self.lanes
        code: list[str] = []
        done = 0
        while done < self.outputs:
            y, x = divmod(start + done, tile.width)
            count = min(lanes.outputs, self.outputs - done, tile.width - x)
            for vector in range(lanes.vectors if lanes.outputs == 1 else 1):
                row = y * tile.strides[0] + self._first_row(vector) * tile.dilation[0]
                target = row * tile.pitch + x * tile.strides[1]
                load, position = self._load(target, position)
                code += load
                product = "vmladava" if vector else "vmladav"
                for index in range(count):
                    weights = vector if lanes.outputs == 1 else index
                    code.append(f"{product}.s8 {ACCUMULATORS[done + index]}, {self.data}, q{weights}")
            done += count
        return code, position

    def _load(self, target: int, position: int) -> tuple[list[str], int]:
        """Bring the taps at `target` into the data register; r1 stands at `position`."""
        contiguous = self.lanes.rows == 1 and self.tile.dilation[1] == 1
        if contiguous and 0 <= target - position <= BYTE_RANGE:
            return [f"vldrb.u8 {self.data}, [r1, #{target - position}]"], position
        move = add_constant("r1", target - position)
        return [*move, f"vldrb.u8 {self.data}, [r1, {self.offsets}]"], target

    def _requantize(self) -> list[str]:
        how, both, temporary = self.tile.requantization, (self.data, self.second), self.temporary
        code = [
            f"stm sp, {ACCUMULATOR_LIST}",
            f"vldrw.u32 {both[0]}, [sp]",
            f"vldrw.u32 {both[1]}, [sp, #16]",
        ]
        code += [f"vadd.i32 {x}, {x}, r3" for x in both]
        code += [f"vqrdmulh.s32 {x}, {x}, r5" for x in both]
        if how.kind == "sign":
            for x in both:
                code += [f"vshr.s32 {temporary}, {x}, #31", f"vadd.i32 {x}, {x}, {temporary}"]
        if how.kind == "fit":
            code += [f"ldr r0, [sp, #{_ADDEND}]", *(f"vadd.i32 {x}, {x}, r0" for x in both)]
        code += [f"{'vshl' if how.kind == 'fit' else 'vrshl'}.s32 {x}, r11" for x in both]
        if how.kind != "fit" and not self.zero_point:
            code.append(f"ldr r0, [sp, #{_ZERO_POINT}]")
        code += narrow(how, *both, temporary, self.zero_point or "r0")
        places = self.places
        if not places:
            places = self.second
            code.append(f"vldrw.u32 {places}, [sp, #{_PLACES}]")
        masked = self.outputs < OUTPUTS
        return [
            *code,
            *(["vpst"] if masked else []),
            f"vstrb{'t' if masked else ''}.16 {self.data}, [r7, {places}]",
        ]

    def _literals(self) -> list[str]:
        tile, lanes = self.tile, self.lanes
        offsets, taps = [0] * LANES, [0] * LANES
        rows = lanes.rows if lanes.vectors > 1 and lanes.outputs == 1 else tile.kernel[0]
        for row in range(rows):
            for column in range(lanes.columns):
                lane = row * lanes.columns + column
                offsets[lane] = row * tile.dilation[0] * tile.pitch + column * tile.dilation[1]
                taps[lane] = row * tile.kernel[1] + column if column < tile.kernel[1] else 0
        return [f".byte {', '.join(map(str, values))}" for values in (offsets, taps)]


def _starts(total: int, before: int) -> list[int]:
    """First outputs of the groups of `total` outputs; the last one ends with the last output.

    before: how many outputs precede, into which a single group may reach.
    """
    return [max(-before, min(start, total - OUTPUTS)) for start in range(0, total, OUTPUTS)]
