"""Depthwise tiles of all sizes by one function: a list of steps says how far each load lies behind the one before.

What depends on the shape is a block of data. Behind a few instructions that hand its address over in r12 lie the
offsets of the taps, sizes, and the steps of a whole tile, four or two to a word, so that one instruction (SXTAB or
SXTAH) moves the address of a load. Neighbouring outputs share a vector in pairs when no pair crosses the end of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...kernel import MicroKernel
from ...parts import Parts
from .assembly import ACCUMULATORS, SAVED_BYTES, data, function, restore, save, shared_function
from .depthwise import (
    LANES,
    OUTPUTS,
    PARAMETERS,
    Depthwise,
    Lanes,
    arrange,
    first_outputs,
    places_of_outputs,
)
from .epilogue import requantize_vectors

# Stack: what one LDM brings (bias, multiplier, shift, addend or zero point, bytes of eight output pixels), the
# accumulators, zeros, first weight vector, lanes of its taps, places of outputs, then words.
_SHIFT, _LAST, _STEP, _ACCUMULATORS, _ZEROS, _WEIGHTS, _TAPS, _PLACES = 8, 12, 16, 32, 64, 80, 96, 112
_WEIGHT, _TABLE, _OUTPUT, _COUNT, _PITCH, _REPEATS, _BLOCK = range(128, 156, 4)
_STACK = 156
# Words of the block after its vectors.
_WORDS = ("mask", "groups", "taps", "next", "size", "back", "jump", "second", "stored", "multiplier")
_CONSTANTS = ("r0", "r2", "r4", "r6", "r8")


@dataclass(frozen=True)
class Walk:
    """Steps of a tile.

    size: bytes of a step, 1 or 2. steps: before each load. back, jump: outputs and bytes from the end of the whole
    groups to a last group that repeats outputs, 0 without one. end: where the address stands after the last load,
    counted from the first window.
    """

    size: int
    steps: tuple[int, ...]
    back: int
    jump: int
    end: int


@dataclass(frozen=True)
class SteppedTile:
    """A tile and how its loads follow each other."""

    tile: Depthwise
    lanes: Lanes
    walk: Walk

    @property
    def shared_name(self) -> str:
        """Name of the function that all sizes share."""
        tile, lanes = self.tile, self.lanes
        form = f"{tile.kernel[0]}x{tile.kernel[1]}" if lanes.parts > 1 else f"by{lanes.outputs}"
        few = "_few" if self.few else ""
        several = "_multiplied" if tile.multiplier > 1 else ""
        wide = "_wide" if self.walk.size == 2 else ""
        return f"tinyml_mve_depthwise_{form}{few}{several}{wide}_{tile.requantization.name}"

    @property
    def few(self) -> bool:
        """Whether a tile has less outputs than a group."""
        return self.tile.height * self.tile.width < OUTPUTS

    @property
    def loads(self) -> int:
        """Loads of a group."""
        return OUTPUTS // self.lanes.outputs * self.lanes.parts


def stepped_tile(tile: Depthwise) -> SteppedTile | None:
    """How to compute a tile by steps; None when no vectors hold its windows or the tile is too wide."""
    for outputs in (2, 1):
        lanes = arrange(tile, outputs)
        if lanes is not None and not _crosses(tile, outputs):
            walk = _walk(tile, lanes)
            return SteppedTile(tile, lanes, walk) if walk is not None else None
    return None


def _crosses(tile: Depthwise, outputs: int) -> bool:
    """Whether outputs that share a vector lie in different rows."""
    total = tile.height * tile.width
    if total < OUTPUTS:
        return tile.width % outputs > 0
    firsts = [start + offset for start in first_outputs(total, 0) for offset in range(0, OUTPUTS, outputs)]
    return any(first % tile.width + outputs > tile.width for first in firsts)


def _walk(tile: Depthwise, lanes: Lanes) -> Walk | None:
    total = tile.height * tile.width
    starts = first_outputs(total, 0) if total >= OUTPUTS else [0]
    steps: list[int] = []
    position, back, jump = 0, 0, 0
    for group, start in enumerate(starts):
        for index, offset in enumerate(range(0, OUTPUTS, lanes.outputs)):
            # Parts forth and back, so that an address only goes to a neighbouring part or output.
            parts = range(lanes.parts) if index % 2 == 0 else reversed(range(lanes.parts))
            for part in parts:
                target = lanes.position(min(start + offset, total - lanes.outputs), part)
                if group and start % OUTPUTS and offset == 0 and part == 0:
                    back, jump, position = OUTPUTS - start % OUTPUTS, target - position, target
                steps.append(target - position)
                position = target
    size = 1 if min(steps) >= -128 and max(steps) <= 127 else 2
    return Walk(size, tuple(steps), back, jump, position) if max(map(abs, steps)) < 1 << 15 else None


def stepped_kernels(stepped: SteppedTile) -> tuple[MicroKernel, MicroKernel]:
    """The function that all sizes share, and the one of a tile; interface as `depthwise_unrolled.unrolled_kernel`."""
    tile, lanes, walk = stepped.tile, stepped.lanes, stepped.walk
    values = {
        "mask": lanes.weight_masks()[0],
        "groups": len(walk.steps) // stepped.loads - (1 if walk.back else 0),
        "taps": tile.taps,
        "next": (0 if tile.multiplier > 1 else tile.size) - walk.end,
        "size": tile.size,
        "back": walk.back,
        "jump": walk.jump,
        "second": _WEIGHTS - _ACCUMULATORS - (lanes.sharing_step if lanes.outputs > 1 else 0),
        "stored": lanes.stored_mask() if stepped.few else 0,
        "multiplier": tile.multiplier,
    }
    block = [*data(lanes.tap_offsets(), 1), *(data(lanes.tap_numbers(), 1) if lanes.outputs > 1 else [])]
    block += [*data([values[name] for name in _words(stepped)], 4), *data(walk.steps, walk.size), ".balign 4"]
    code = ["adr.w r12, 8f", f"b.w {stepped.shared_name}", ".balign 4", "8:", *block]
    shared = shared_function(stepped.shared_name, PARAMETERS, _Writer(stepped).code())
    return shared, function(tile.name, PARAMETERS, code)


def stepped_parts(stepped: SteppedTile, channels: int) -> Parts:
    """Instructions of one call."""
    writer = _Writer(stepped)
    groups = len(stepped.walk.steps) // stepped.loads
    again = len(writer.jump_back()) if stepped.walk.back else 0
    channel = len(writer.load_channel()) + len(writer.next_channel()) + again + 3
    outputs = groups * len(writer.requantize())
    products = groups * len(writer.group()) - outputs
    multiplications = groups * OUTPUTS * writer.lanes.parts
    each = Parts(products, outputs, calls=channel, multiplications=multiplications)
    return Parts(calls=60) + each * channels


def _words(stepped: SteppedTile) -> tuple[str, ...]:
    """Words of the block that a function reads."""
    unread = set()
    unread |= {"mask"} if stepped.lanes.parts > 1 else set()
    unread |= {"second"} if stepped.lanes.outputs == 1 else set()
    unread |= {"stored"} if not stepped.few else set()
    unread |= {"size", "multiplier"} if stepped.tile.multiplier == 1 else set()
    return tuple(name for name in _WORDS if name not in unread)


class _Writer:
    """Code of the function that all sizes share."""

    def __init__(self, stepped: SteppedTile) -> None:
        self.stepped = stepped
        self.lanes = stepped.lanes
        self.how = stepped.tile.requantization
        vectors = self.lanes.vectors
        self.offsets, self.data, self.second = (f"q{vectors + index}" for index in range(3))
        free = [f"q{index}" for index in range(vectors + 3, 8)]
        self.temporary = free.pop() if self.how.needs_temporary else "none"
        self.places = free.pop(0) if free else ""
        # One predicate for the weights of all channels, unless every channel needs several.
        self.one_mask = self.lanes.parts == 1 and not stepped.few
        words = _words(stepped)
        start = 2 * LANES if self.lanes.outputs > 1 else LANES
        self.block = {name: start + 4 * index for index, name in enumerate(words)}
        self.steps = start + 4 * len(words)

    def code(self) -> list[str]:
        """The whole function."""
        return [
            *self._prologue(),
            "1:",
            *self.load_channel(),
            "3:",
            *self.group(),
            "blt 4f",
            *self.jump_back(),
            "4:",
            *self.next_channel(),
            *restore(_STACK),
        ]

    def _from_block(self, register: str, name: str, base: str = "r12") -> str:
        return f"ldr {register}, [{base}, #{self.block[name]}]"

    def _prologue(self) -> list[str]:
        arguments = _STACK + SAVED_BYTES
        code = [*save(_STACK), f"str r1, [sp, #{_WEIGHT}]", f"strd r2, r3, [sp, #{_TABLE}]", "mov r1, r0"]
        code += [f"ldrd r0, r4, [sp, #{arguments}]", f"str r0, [sp, #{_COUNT}]", f"str r4, [sp, #{_PITCH}]"]
        code += ["lsl r0, r4, #3", f"str r0, [sp, #{_STEP}]", f"str r12, [sp, #{_BLOCK}]"]
        if self.how.kind != "fit":
            code += [f"ldr r0, [sp, #{arguments + 8}]", f"str r0, [sp, #{_LAST}]"]
        code += [f"add r11, sp, #{_ACCUMULATORS}", f"vldrb.u8 {self.offsets}, [r12]"]
        if self.lanes.outputs > 1:
            code += [f"vldrb.u8 q0, [r12, #{LANES}]", f"vstrw.32 q0, [sp, #{_TAPS}]", "vmov.i32 q0, #0"]
            code += [f"vstrw.32 q0, [sp, #{_ZEROS}]"]
        if self.stepped.tile.multiplier > 1:
            code += [self._from_block("r0", "multiplier"), f"str r0, [sp, #{_REPEATS}]"]
        code += places_of_outputs(self.places or "q0")
        code += [] if self.places else [f"vstrw.32 q0, [sp, #{_PLACES}]"]
        return [*code, *(self._set_mask("mask") if self.one_mask else [])]

    def _set_mask(self, name: str) -> list[str]:
        return [self._from_block("r2", name), "vmsr p0, r2"]

    def load_channel(self) -> list[str]:
        """Weights and constants of the next channel; r1 at its plane."""
        lanes = self.lanes
        code = [f"ldr r12, [sp, #{_BLOCK}]", f"ldr r0, [sp, #{_WEIGHT}]", "ldrsb r4, [r0], #1"]
        if lanes.parts == 1:
            code += [] if self.one_mask else self._set_mask("mask")
            if lanes.outputs > 1:
                code += [f"vldrw.u32 {self.data}, [sp, #{_TAPS}]", "vpst", f"vldrbt.u8 q0, [r0, {self.data}]"]
                code += [f"vstrw.32 q0, [r11, #{_WEIGHTS - _ACCUMULATORS}]", self._from_block("r2", "second")]
                code += ["add r2, r2, r11", "vldrb.u8 q1, [r2]"]
            else:
                code += ["vpst", "vldrbt.u8 q0, [r0]"]
        else:
            masks = lanes.weight_masks()
            for part, mask in enumerate(masks):
                code += [f"movw r2, #{mask}", "vmsr p0, r2"] if part == 0 or mask != masks[part - 1] else []
                first = lanes.first_row(part) * self.stepped.tile.kernel[1]
                code += ["vpst", f"vldrbt.u8 q{part}, [r0, #{first}]"]
        code += [self._from_block("r2", "taps"), "add r0, r0, r2", f"str r0, [sp, #{_WEIGHT}]"]
        code += [f"ldr r0, [sp, #{_TABLE}]", "ldrd r2, r6, [r0], #8", "strd r2, r6, [sp]"]
        code += [f"str r4, [sp, #{_SHIFT}]"]
        code += ["ldr r2, [r0], #4", f"str r2, [sp, #{_LAST}]"] if self.how.kind == "fit" else []
        code += [f"str r0, [sp, #{_TABLE}]", f"ldr r7, [sp, #{_OUTPUT}]"]
        code += self._set_mask("stored") if self.stepped.few else []
        return [*code, self._from_block("r5", "groups"), f"add r3, r12, #{self.steps}"]

    def group(self) -> list[str]:
        """Eight outputs; r1 data, r3 steps, r5 groups left, r7 output, r9 steps of the next loads, r11 accumulators."""
        lanes, size = self.lanes, self.stepped.walk.size
        code: list[str] = []
        extend, per_word = ("sxtab", 4) if size == 1 else ("sxtah", 2)
        load = 0
        for index in range(OUTPUTS // lanes.outputs):
            order = list(range(lanes.parts)) if index % 2 == 0 else list(reversed(range(lanes.parts)))
            for part in order:
                turn = load % per_word
                code += ["ldr r9, [r3], #4"] if turn == 0 else []
                code.append(f"{extend} r1, r1, r9" + (f", ror #{turn * size * 8}" if turn else ""))
                code.append(f"vldrb.u8 {self.data}, [r1, {self.offsets}]")
                product = "vmladav" if part == order[0] else "vmladava"
                for neighbour in range(lanes.outputs):
                    accumulator = ACCUMULATORS[index * lanes.outputs + neighbour]
                    code.append(f"{product}.s8 {accumulator}, {self.data}, q{part + neighbour}")
                load += 1
        return [*code, *self.requantize(), "subs r5, r5, #1", "bgt 3b"]

    def requantize(self) -> list[str]:
        """Turn the accumulators into outputs and store them."""
        both = (self.data, self.second)
        code = [f"stm r11, {{{', '.join(ACCUMULATORS)}}}", f"ldm sp, {{{', '.join(_CONSTANTS)}}}"]
        code += [f"vldrw.u32 {both[0]}, [r11]", f"vldrw.u32 {both[1]}, [r11, #16]"]
        code += requantize_vectors(self.how, both, _CONSTANTS, self.temporary)
        places = self.places or self.second
        code += [] if self.places else [f"vldrw.u32 {places}, [sp, #{_PLACES}]"]
        masked = self.stepped.few
        code += ["vpst"] if masked else []
        return [*code, f"vstrb{'t' if masked else ''}.16 {self.data}, [r7, {places}]", "add r7, r7, r8"]

    def jump_back(self) -> list[str]:
        """To the last group when it repeats outputs."""
        code = [f"ldr r12, [sp, #{_BLOCK}]", self._from_block("r0", "back"), "cbz r0, 4f"]
        code += [self._from_block("r2", "jump"), f"ldr r4, [sp, #{_PITCH}]"]
        return [*code, "mls r7, r0, r4, r7", "add r1, r1, r2", "b 3b"]

    def next_channel(self) -> list[str]:
        """To the next plane and output, unless all channels are done."""
        code = [f"ldr r12, [sp, #{_BLOCK}]", self._from_block("r0", "next"), "add r1, r1, r0"]
        if self.stepped.tile.multiplier > 1:
            code += [f"ldr r0, [sp, #{_REPEATS}]", "subs r0, r0, #1", "bne 5f"]
            code += [self._from_block("r2", "size"), "add r1, r1, r2", self._from_block("r0", "multiplier")]
            code += ["5:", f"str r0, [sp, #{_REPEATS}]"]
        code += [f"ldr r7, [sp, #{_OUTPUT}]", "adds r7, r7, #1", f"str r7, [sp, #{_OUTPUT}]"]
        return [*code, f"ldr r0, [sp, #{_COUNT}]", "subs r0, r0, #1", f"str r0, [sp, #{_COUNT}]", "bne 1b"]
