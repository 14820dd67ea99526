"""Depthwise tiles with code of their own: groups of eight outputs are unrolled, every address is an immediate.

Outputs are enumerated row by row without regard to the end of a row, so nothing is computed twice but the last
incomplete group of eight. Up to four neighbouring outputs share a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from ...kernel import MicroKernel
from ...parts import Parts
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
from .depthwise import (
    OUTPUTS,
    PARAMETERS,
    Depthwise,
    Lanes,
    first_outputs,
    places_of_outputs,
)
from .epilogue import requantize_vectors

# Instructions of unrolled groups.
MAX_UNROLLED = 640
# What a loop instead of unrolled groups may take more, and what it takes per turn, in groups.
_LOOPING, _LOOP = 0.06, 0.13
# Stack: accumulators, zeros, first weight vector, lanes of its taps, places of outputs, then words.
_ZEROS, _WEIGHTS, _TAPS, _PLACES = 32, 48, 64, 80
_WEIGHT, _TABLE, _OUTPUT, _COUNT, _TURNS, _ZERO_POINT, _ADDEND, _PITCH, _REPEATS = range(96, 132, 4)
_STACK = 132


def unrolled_kernel(tile: Depthwise, lanes: Lanes) -> MicroKernel:
    """Micro-kernel: `channels` outputs of neighbouring planes; table int32[channels][rows of the requantisation].

    `planes` begins with the first tap of the first window; `pitch` is the distance of two output pixels.
    """
    return function(tile.name, PARAMETERS, _Writer(tile, lanes).code())


def unrolled_parts(tile: Depthwise, lanes: Lanes, channels: int) -> Parts | None:
    """Instructions of one call; None when the code would be too long."""
    writer = _Writer(tile, lanes)
    plan = writer.plan()
    if plan is None:
        return None
    writer.code()
    groups = plan.turns * len(plan.period) + len(plan.rest)
    outputs = groups * len(writer.requantize())
    products = groups * writer.group_instructions - outputs
    channel = Parts(
        products,
        outputs,
        calls=writer.channel_instructions + plan.turns * 4,
        multiplications=groups * writer.outputs * lanes.parts,
    )
    return Parts(calls=60) + channel * channels


@dataclass(frozen=True)
class Unrolling:
    """First outputs of the groups of a part that runs `turns` times, then of the rest (counted from its start)."""

    turns: int
    period: list[int]
    rest: list[int]

    @property
    def groups(self) -> int:
        """Groups in the code."""
        return len(self.period) + len(self.rest)


class _Writer:
    """Code of one tile."""

    def __init__(self, tile: Depthwise, lanes: Lanes) -> None:
        self.tile = tile
        self.lanes = lanes
        vectors = lanes.vectors
        self.offsets, self.data, self.second = (f"q{vectors + index}" for index in range(3))
        free = [f"q{index}" for index in range(vectors + 3, 8)]
        how = tile.requantization
        self.temporary = free.pop() if how.needs_temporary else "none"
        self.places = free.pop(0) if free else ""
        self.zero_point = free.pop(0) if free and how.kind != "fit" else ""
        self.outputs = min(OUTPUTS, tile.height * tile.width)
        self.masks: set[int] = set()
        self.group_instructions = 0.0
        self.channel_instructions = 0.0

    def plan(self) -> Unrolling | None:
        """The fastest code, or the shortest of what takes little more; None when all would be too long."""
        choices = [choice for choice in self._choices() if choice.groups <= self._most()]
        if not choices:
            return None
        fastest = min(self._cost(choice) for choice in choices)
        if self.tile.form == "unrolled":
            return min(choices, key=self._cost)
        quick = [choice for choice in choices if self._cost(choice) <= fastest * (1 + _LOOPING)]
        return min(quick, key=lambda choice: choice.groups)

    def _most(self) -> int:
        return MAX_UNROLLED // len([*self._products(0, 0)[0], *self.requantize()])

    def _cost(self, choice: Unrolling) -> float:
        """Groups of one channel; the loop takes a part of one per turn."""
        return choice.turns * (len(choice.period) + _LOOP) + len(choice.rest)

    def _choices(self) -> list[Unrolling]:
        height, width = self.tile.height, self.tile.width
        found = [Unrolling(0, [], first_outputs(height * width, 0))]
        rows = OUTPUTS // gcd(OUTPUTS, width)
        turns = height // rows
        if turns > 1:
            rest = (height - turns * rows) * width
            found.append(Unrolling(turns, first_outputs(rows * width, 0), first_outputs(rest, OUTPUTS)))
        if height > 1 and width >= OUTPUTS:
            found.append(Unrolling(height, first_outputs(width, 0), []))
        return found

    def code(self) -> list[str]:
        """The whole function."""
        tile = self.tile
        plan = self.plan()
        if plan is None:
            raise ValueError(f"{tile.name}: {tile.height} x {tile.width} outputs take too much code")
        turns, period, rest = plan.turns, plan.period, plan.rest
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
        code += places_of_outputs(places)
        code += [] if self.places else [f"vstrw.32 q0, [sp, #{_PLACES}]"]
        if len(set(self.lanes.weight_masks())) == 1 and self.outputs == OUTPUTS:
            code += self._set_mask(self.lanes.weight_masks()[0])
        return code

    @staticmethod
    def _set_mask(mask: int) -> list[str]:
        return [f"movw r0, #{mask}", "vmsr p0, r0"]

    def _load_channel(self) -> list[str]:
        """Weights and constants of the next channel; r1 at its plane and r7 at its first output already."""
        masks = self.lanes.weight_masks()
        again = len(set(masks)) > 1 or self.outputs < OUTPUTS
        code = [f"ldr r3, [sp, #{_WEIGHT}]", "ldrsb r11, [r3], #1"]
        if self.lanes.outputs > 1:
            code += self._set_mask(masks[0]) if again else []
            code += [f"vldrw.u32 {self.data}, [sp, #{_TAPS}]", "vpst", f"vldrbt.u8 q0, [r3, {self.data}]"]
            code += [f"vstrw.32 q0, [sp, #{_WEIGHTS}]"]
            code.append(f"add r0, sp, #{_WEIGHTS}")
            code += [
                f"vldrb.u8 q{index}, [r0, #{-index * self.lanes.sharing_step}]"
                for index in range(1, self.lanes.outputs)
            ]
        else:
            for vector in range(self.lanes.vectors):
                if again and (vector == 0 or masks[vector] != masks[vector - 1]):
                    code += self._set_mask(masks[vector])
                code += [
                    "vpst",
                    f"vldrbt.u8 q{vector}, [r3, #{self.lanes.first_row(vector) * self.tile.kernel[1]}]",
                ]
        code += [*add_constant("r3", self.tile.taps), f"str r3, [sp, #{_WEIGHT}]", f"ldr r0, [sp, #{_TABLE}]"]
        fitted = self.tile.requantization.kind == "fit"
        code += ["ldm r0!, {r3, r5, r12}" if fitted else "ldm r0!, {r3, r5}"]
        code += [f"str r12, [sp, #{_ADDEND}]"] if fitted else []
        code += [f"str r0, [sp, #{_TABLE}]"]
        if self.outputs < OUTPUTS:
            code += self._set_mask(self.lanes.stored_mask())
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
            code += [*group, *self.requantize()]
            code += ["add r7, r7, r9"]
        return code, position

    def _products(self, start: int, position: int) -> tuple[list[str], int]:
        tile, lanes = self.tile, self.lanes
        code: list[str] = []
        done = 0
        while done < self.outputs:
            x = (start + done) % tile.width
            count = min(lanes.outputs, self.outputs - done, tile.width - x)
            for vector in range(lanes.parts):
                load, position = self._load(lanes.position(start + done, vector), position)
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

    def requantize(self) -> list[str]:
        """Turn the accumulators of a group into outputs and store them."""
        how, both, temporary = self.tile.requantization, (self.data, self.second), self.temporary
        code = [
            f"stm sp, {ACCUMULATOR_LIST}",
            f"vldrw.u32 {both[0]}, [sp]",
            f"vldrw.u32 {both[1]}, [sp, #16]",
        ]
        constants = ("r3", "r5", "r11", self.zero_point or "r0")
        if how.kind == "fit" or not self.zero_point:
            code.append(f"ldr r0, [sp, #{_ADDEND if how.kind == 'fit' else _ZERO_POINT}]")
        code += requantize_vectors(how, both, constants, temporary)
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
        literals = (self.lanes.tap_offsets(), self.lanes.tap_numbers())
        return [f".byte {', '.join(map(str, values))}" for values in literals]
