"""Depthwise outputs with channels in the lanes: pixels are read as they lie, sixteen channels at a time.

Few outputs are not worth channel planes. A tap is a vector of sixteen pixels' bytes times one of weights, the products
of even and of odd channels halfwords of their own. Products are added up modulo 2**16; what is above follows from a
second, coarse sum of most of the products, of shifted halfwords (`VQDMLAH` adds and shifts at once): a sum that is
known modulo 2**16, and to less than 2**15 either way, is known. Two products fit a halfword, so pairs are added up
before they are shifted, and up to two products, 32,512 at most, need not be in the coarse sum at all.

Weights and what the requantisation needs lie in one stream in the order in which they are read. One function serves all
sizes of a window: a block of words behind a few instructions that hand its address over in r12 holds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...kernel import MicroKernel
from ...parts import Parts
from .assembly import SAVED_BYTES, Cursor, data, function, restore, save, shared_function
from .epilogue import Requantization, correct_ties, narrow_to_halves
from .ordering import ordered

CHANNELS = 16
"""Of a block. The stream has int8[taps][16] weights, int32[kinds][16] biases, the other words of the requantisation
as int32[16] each, and a byte for each shift, words and shifts in the order of `place_of`."""
LOWEST_WEIGHT = -127
"""Two products with -128 would not fit a halfword."""
# `count` outputs side by side.
PARAMETERS = (
    "const int8_t *data",
    "const int32_t *table",
    "int8_t *output",
    "int32_t count",
    "int32_t zero_point",
)
_LARGEST_PRODUCT = 127 * 128
# Taps with address registers of their own; lines of taps where there are more.
_POINTERS, _LINES = ("r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9"), 7
_BACK, _STEP = "r8", "r9"
# Loads that widen bytes take the lower half of the registers as addresses.
_STREAM, _OUTPUT, _ZERO_POINT, _FACTOR = "r7", "r10", "r11", "r12"
# Stack: the layer's stream, outputs left, and the block of words.
_TABLE, _COUNT, _WORDS, _STACK = 0, 4, 8, 12
# Offsets in the block of words.
_STEPS, _DELTA, _BLOCKS, _REST, _RETURN = 0, 8, 12, 16, 20
_WORD = 4
# Instructions that find no last block that overlaps, and no further output.
_NO_REST, _LAST_OUTPUT = 1, 3
# Halfwords of even and of odd channels: sums, coarse sums, sums of a pair; a pixel and its weights.
_SUMS, _COARSE, _PAIR, _PIXEL, _WEIGHTS = ("q0", "q1"), ("q2", "q3"), ("q4", "q5"), "q6", "q7"
_VECTORS, _FREE = ("q0", "q4", "q1", "q5"), ("q2", "q3", "q6", "q7")


def place_of(channel: int) -> int:
    """Place of a block's channel among the words of a table; also works on TensorIR expressions."""
    return channel // 4 + (channel % 4 // 2 + channel % 2 * 2) * 4


@dataclass(frozen=True)
class Window:
    """The part of a window that lies in the image.

    kernel: lines of taps and taps of a line of the whole window. first, size: of the part. kind, kinds: which of how
    many such parts the layer has; each has biases of its own.
    """

    kernel: tuple[int, int]
    first: tuple[int, int]
    size: tuple[int, int]
    kind: int
    kinds: int

    @property
    def taps(self) -> int:
        """Of the part."""
        return self.size[0] * self.size[1]

    @property
    def all_taps(self) -> int:
        """Of the whole window."""
        return self.kernel[0] * self.kernel[1]

    def number(self, tap: int) -> int:
        """Number of a tap among those of the whole window."""
        line, place = divmod(tap, self.size[1])
        return (self.first[0] + line) * self.kernel[1] + self.first[1] + place

    @property
    def name(self) -> str:
        """Part of the names of micro-kernels."""
        kernel, first, size = (f"{one[0]}x{one[1]}" for one in (self.kernel, self.first, self.size))
        part = f"_{size}_at_{first}" if self.size != self.kernel else ""
        return kernel + part + (f"_kind{self.kind}_of{self.kinds}" if self.kinds > 1 else "")


@dataclass(frozen=True)
class ChannelLanes:
    """Outputs side by side whose windows have the same part in the image.

    step, line: bytes from a tap to the next, and from a line of taps to the next. next: from an output's window to that
    of the next. channels: of a pixel.
    """

    window: Window
    step: int
    line: int
    next: int
    channels: int
    requantization: Requantization

    @property
    def few(self) -> bool:
        """Whether the channels do not fill a vector."""
        return self.channels < CHANNELS

    @property
    def shared_name(self) -> str:
        """Name of the function that all sizes share."""
        few = "_few" if self.few else ""
        return f"tinyml_mve_depthwise_lanes_{self.window.name}{few}_{self.requantization.name}"

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        return f"{self.shared_name}_of{self.channels}_step{self.step}_line{self.line}_next{self.next}"

    @property
    def applies(self) -> bool:
        """Whether there are registers enough."""
        return self.window.taps <= len(_POINTERS) or self.window.size[0] <= _LINES

    @property
    def blocks(self) -> int:
        """Blocks of channels; the last one overlaps where they are not a multiple."""
        return -(-self.channels // CHANNELS)


def stream_bytes(window: Window, how: Requantization) -> int:
    """Bytes of the stream of a block."""
    words = window.kinds + len(how.words) - 1
    return CHANNELS * (window.all_taps + _WORD * words + 1)


def lanes_kernels(lanes: ChannelLanes) -> tuple[MicroKernel, MicroKernel]:
    """The function that all sizes share, and the one of these outputs."""
    advanced = lanes.blocks * CHANNELS if lanes.few else lanes.channels
    whole, rest = divmod(lanes.channels, CHANNELS)
    words = (
        lanes.step,
        lanes.line,
        lanes.next - advanced,
        max(1, whole),
        CHANNELS - rest if rest else 0,
        (lanes.window.size[1] - 1) * lanes.step - CHANNELS,
    )
    code = ["adr.w r12, 8f", f"b.w {lanes.shared_name}", ".balign 4", "8:", *data(words, 4)]
    writer = _Writer(lanes.window, lanes.requantization, lanes.few)
    shared = shared_function(lanes.shared_name, PARAMETERS, writer.code())
    return shared, function(lanes.name, PARAMETERS, code)


def lanes_parts(lanes: ChannelLanes, outputs: int) -> Parts:
    """Instructions of one call."""
    writer = _Writer(lanes.window, lanes.requantization, lanes.few)
    taps, epilogue = len(writer.sums), len(writer.epilogue)
    again = len(writer.rest())
    own = len(writer.begin_output()) + (
        again + 1 if lanes.channels % CHANNELS and not lanes.few else min(again, _NO_REST)
    )
    each = Parts(
        products=lanes.blocks * taps,
        outputs=lanes.blocks * (epilogue + 1),
        calls=own,
        multiplications=lanes.blocks * 2 * lanes.window.taps,
    )
    frame = len(writer.prologue()) + 2 + _LAST_OUTPUT + len(restore(_STACK))
    return each * outputs + Parts(calls=frame + (outputs - 1) * len(writer.next_output()))


@dataclass(frozen=True)
class _Split:
    """How products are added up.

    groups: numbers of taps of the coarse sum, in pairs as far as possible. shift: of it.
    """

    groups: tuple[int, ...]
    shift: int


def _split(taps: int) -> _Split:
    """As many products as possible stay outside of the coarse sum.

    What it lacks, with what its terms and the sum below lose when they are shifted, is 2**15 at most.
    """
    for left in (2, 1):
        coarse = max(1, taps - left)
        pairs, single = divmod(coarse, 2)
        shift = 1
        while coarse * _LARGEST_PRODUCT >> shift > (1 << 15) - 1:
            shift += 1
        lost = (pairs + single + 1) << shift
        if left * _LARGEST_PRODUCT + lost <= 1 << 15:
            break
    return _Split((2,) * pairs + (1,) * single, shift)


@dataclass(frozen=True)
class _Writer:
    """Code of the function that all sizes share."""

    window: Window
    how: Requantization
    few: bool

    def code(self) -> list[str]:
        """The whole function."""
        body = ordered([*self.sums, *self.epilogue], sources=(*self._pointers, _STREAM))
        code = [*self.prologue(), "0:", *self.begin_output(), "1:", *body, "le lr, 1b"]
        return [*code, *self.rest(), "3:", *self.next_output(), "9:", *restore(_STACK)]

    @property
    def _by_tap(self) -> bool:
        """Whether every tap has an address register."""
        return self.window.taps <= len(_POINTERS)

    @property
    def _pointers(self) -> tuple[str, ...]:
        return _POINTERS[: self.window.taps if self._by_tap else self.window.size[0]]

    @cached_property
    def _split(self) -> _Split:
        return _split(self.window.taps)

    @property
    def _set_factor(self) -> list[str]:
        """What the coarse sum multiplies with, for its shift."""
        return [f"mov {_FACTOR}, #{1 << (15 - self._split.shift)}"] if self.window.taps > 2 else []

    def prologue(self) -> list[str]:
        """Save registers, read arguments, and let address registers point to their taps."""
        # The last push is the frame: table, outputs and words.
        *saved, _ = save(_STACK)
        code = [*saved, "push {r1, r3, r12}", f"mov {_OUTPUT}, r2"]
        code += [f"ldrd {_STREAM}, lr, [r12, #{_STEPS}]"]
        if self.how.kind != "fit":
            code.append(f"ldr {_ZERO_POINT}, [sp, #{_STACK + SAVED_BYTES}]")
        width = self.window.size[1] if self._by_tap else 1
        for index in range(1, len(self._pointers)):
            before, step = (index - 1, _STREAM) if index % width else (index - width, "lr")
            code.append(f"add {_POINTERS[index]}, {_POINTERS[before]}, {step}")
        if not self._by_tap:
            code += [f"mov {_STEP}, {_STREAM}", f"ldr {_BACK}, [r12, #{_RETURN}]"]
        if self.few:
            code += [f"ldr r12, [r12, #{_REST}]", "rsb r12, r12, #16", "vctp.8 r12"]
        return code

    def begin_output(self) -> list[str]:
        """The stream's begin, and the count of blocks; the flags say whether one that overlaps is to follow."""
        code = [f"ldr {_STREAM}, [sp, #{_TABLE}]", f"ldr lr, [sp, #{_WORDS}]"]
        code += (
            [f"ldr lr, [lr, #{_BLOCKS}]"] if self.few else [f"ldrd lr, r12, [lr, #{_BLOCKS}]", "cmp r12, #0"]
        )
        return [*code, *(self._set_factor if self.how.kind != "sign" else []), "dls lr, lr"]

    def rest(self) -> list[str]:
        """Back for a last block that overlaps, if there is one."""
        if self.few:
            return []
        code = ["beq 3f", f"ldr r12, [sp, #{_WORDS}]", f"ldr r12, [r12, #{_REST}]"]
        code += [f"sub {pointer}, {pointer}, r12" for pointer in (*self._pointers, _OUTPUT)]
        return [*code, *self._set_factor, "mov lr, #1", "cmp lr, lr", "dls lr, lr", "b 1b"]

    def next_output(self) -> list[str]:
        """To the next output, if there is one."""
        code = [f"ldr lr, [sp, #{_COUNT}]", "subs lr, lr, #1", "beq 9f", f"str lr, [sp, #{_COUNT}]"]
        code += [f"ldr lr, [sp, #{_WORDS}]", f"ldr r12, [lr, #{_DELTA}]"]
        code += [f"add {pointer}, {pointer}, r12" for pointer in self._pointers]
        if self.few:
            code += [f"ldr r12, [lr, #{_REST}]", f"sub {_OUTPUT}, {_OUTPUT}, r12"]
        return [*code, "b 0b"]

    @cached_property
    def sums(self) -> list[str]:
        """All products of a block, as words in `_VECTORS`; the stream stands at the biases' kind."""
        code = self._set_factor if self.how.kind == "sign" else []
        shift = self._split.shift
        tap = 0
        for group in (*self._split.groups, *(1,) * (self.window.taps - sum(self._split.groups))):
            taps = range(tap, tap + group)
            if tap == 0:
                code += self._first(taps)
                if self.window.taps > 2:
                    code += [f"vshr.s16 {c}, {s}, #{shift}" for c, s in zip(_COARSE, _SUMS, strict=True)]
            else:
                code += self._further(taps, coarse=tap < sum(self._split.groups))
            tap += group
        return [*code, *self._returns(), *self._words()]

    def _load(self, tap: int) -> list[str]:
        return [*self._pixel(tap, last=True), *self._weights(tap)]

    def _pixel(self, tap: int, *, last: bool) -> list[str]:
        """Load a tap's pixel; the address moves on with the last load."""
        then, before = ("t", ["vpst"]) if self.few else ("", [])
        line, place = divmod(tap, self.window.size[1])
        pointer = _POINTERS[tap if self._by_tap else line]
        moves = f", #{CHANNELS}" if last and self._by_tap else ""
        code = [*before, f"vldrb{then}.u8 {_PIXEL}, [{pointer}]{moves}"]
        between = last and not self._by_tap and place < self.window.size[1] - 1
        return [*code, f"add {pointer}, {pointer}, {_STEP}"] if between else code

    def _weights(self, tap: int) -> list[str]:
        """Load a tap's weights; the stream goes on to those of the next one."""
        cursor = Cursor(_STREAM, CHANNELS * self.window.number(tap) if tap else 0)
        following = CHANNELS * (
            self.window.number(tap + 1) if tap + 1 < self.window.taps else self.window.all_taps
        )
        return cursor.load_and_move(_WEIGHTS, CHANNELS * self.window.number(tap), following, aligned=False)

    def _first(self, taps: Sequence[int]) -> list[str]:
        """Sums of the first one or two products."""
        code = [*self._load(taps[0]), *_products(_SUMS)]
        if len(taps) > 1:
            products = (_PAIR[0], _PIXEL)
            code += [*self._load(taps[1]), *_products(products), *_add(_SUMS, products)]
        return code

    def _further(self, taps: Sequence[int], *, coarse: bool) -> list[str]:
        """Add one or two products; coarse: to that sum as well."""
        if len(taps) > 1:
            products = _PAIR
            code = [*self._load(taps[0]), *_products(products)]
            # No register is free for the second of two products: the pixel is loaded again.
            code += [*self._pixel(taps[1], last=False), *self._weights(taps[1])]
            code += _one_more("b", products[0])
            code += [*self._pixel(taps[1], last=True), *_one_more("t", products[1])]
        else:
            products = (_PAIR[0], _PIXEL)
            code = [*self._load(taps[0]), *_products(products)]
        code += _add(_SUMS, products)
        if coarse:
            code += [f"vqdmlah.s16 {c}, {p}, {_FACTOR}" for c, p in zip(_COARSE, products, strict=True)]
        return code

    def _returns(self) -> list[str]:
        """From the last taps of lines to the first ones of the next block."""
        return [] if self._by_tap else [f"sub {pointer}, {pointer}, {_BACK}" for pointer in self._pointers]

    def _words(self) -> Iterator[str]:
        """Halfwords to words."""
        shift = self._split.shift
        for low, coarse, other in zip(_SUMS, _COARSE, _PAIR, strict=True):
            if self.window.taps <= 2:
                yield from (f"vmovlt.s16 {other}, {low}", f"vmovlb.s16 {low}, {low}")
                continue
            # The halfword above is that of the nearest number with these bits below.
            yield f"vshr.u16 {other}, {low}, #{shift}"
            yield f"vhsub.s16 {coarse}, {coarse}, {other}"
            yield f"vrshr.s16 {coarse}, {coarse}, #{15 - shift}"
            yield f"vmov {other}, {coarse}"
            yield f"vsri.32 {other}, {low}, #16"
            yield f"vsli.32 {low}, {coarse}, #16"

    @cached_property
    def epilogue(self) -> list[str]:
        """Requantise and store a block."""
        cursor = Cursor(_STREAM, CHANNELS * self.window.all_taps)
        biases = CHANNELS * self.window.all_taps
        words = biases + CHANNELS * _WORD * self.window.kinds
        code = self._with_words("vadd.i32", cursor, biases + CHANNELS * _WORD * self.window.kind, words)
        after = words + CHANNELS * _WORD
        code += self._with_words("vqrdmulh.s32", cursor, words, after)
        if self.how.kind == "sign":
            code += [f"mov {_FACTOR}, #1", *correct_ties(_VECTORS, _FACTOR)]
        if self.how.kind == "fit":
            code += self._with_words("vadd.i32", cursor, after, after + CHANNELS * _WORD)
        shift = "vshl" if self.how.kind == "fit" else "vrshl"
        for vector, free in zip(_VECTORS, _FREE, strict=True):
            code += [f"vldrb.s32 {free}, [{_STREAM}], #{_WORD}", f"{shift}.s32 {vector}, {vector}, {free}"]
        for half in (_VECTORS[:2], _VECTORS[2:]):
            code += narrow_to_halves(self.how, *half, _FREE[0], _ZERO_POINT)
        code += [f"vqmovnb.s16 {_SUMS[0]}, {_SUMS[0]}", f"vqmovnt.s16 {_SUMS[0]}, {_SUMS[1]}"]
        store = f"{_SUMS[0]}, [{_OUTPUT}], #{CHANNELS}"
        return [*code, *(["vpst", f"vstrbt.8 {store}"] if self.few else [f"vstrb.8 {store}"])]

    def _with_words(self, operation: str, cursor: Cursor, begin: int, end: int) -> list[str]:
        """All vectors with the words at `begin` of the stream, which then stands at `end`."""
        code: list[str] = []
        for index, (vector, free) in enumerate(zip(_VECTORS, _FREE, strict=True)):
            place = begin + CHANNELS * index
            after = end if vector == _VECTORS[-1] else place + CHANNELS
            code += cursor.move(place) if cursor.position != place else []
            code += cursor.load_and_move(free, place, after, aligned=True)
            code.append(f"{operation} {vector}, {vector}, {free}")
        return code


def _products(targets: tuple[str, str]) -> list[str]:
    """Of even and of odd channels."""
    return [
        f"vmull{half}.s8 {target}, {_PIXEL}, {_WEIGHTS}" for half, target in zip("bt", targets, strict=True)
    ]


def _one_more(half: str, target: str) -> list[str]:
    """Add the product of even or of odd channels; the pixel is lost."""
    return [f"vmull{half}.s8 {_PIXEL}, {_PIXEL}, {_WEIGHTS}", f"vadd.i16 {target}, {target}, {_PIXEL}"]


def _add(sums: tuple[str, str], products: tuple[str, str]) -> list[str]:
    return [f"vadd.i16 {one}, {one}, {product}" for one, product in zip(sums, products, strict=True)]
