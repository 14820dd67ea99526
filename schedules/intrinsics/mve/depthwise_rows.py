"""Depthwise rows straight from a line buffer that holds planes: all channels in one call, eight at a time.

The planes have no borders. A vector of taps that reaches beyond the columns of the image is loaded under a predicate
and completed with the value of the border, so that nothing outside of the planes is read. Sums go through memory as in
`depthwise_summed.py`, in chunks of outputs; the weights of a channel lie in lanes already, and neighbours read them
shifted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ...kernel import MicroKernel
from ...parts import Parts
from .assembly import ACCUMULATORS, SAVED_BYTES, add_constant, data, function, restore, save
from .depthwise import LANES, MAX_VECTORS, OUTPUTS, Depthwise, Lanes, arrange
from .depthwise_summed import (
    MAX_SUMMED_OUTPUTS,
    SUMMED,
    sum_offsets,
    summed_constants,
    summed_output,
)
from .ordering import ordered

# `weight` points behind a vector of zeros, at int8[channels][parts][16]; `table` is that of `depthwise_summed.py`;
# `groups` counts groups of eight channels; `pitch` is the distance of two output pixels.
PARAMETERS = (
    "const int8_t *planes",
    "const int8_t *weight",
    "const int32_t *table",
    "int8_t *output",
    "int32_t groups",
    "int32_t pitch",
    "int32_t zero_point",
)
# Stack behind the sums: place of the first channel, its weights, table, output, groups left, turns left.
_PLACE, _WEIGHT, _TABLE, _OUTPUT, _GROUPS, _TURNS, _OWN = 0, 4, 8, 12, 16, 20, 24
_WORD = 4
# Registers of predicates.
_MASKS = ("r5", "r11")
_BORDER, _OFFSETS = "q6", "q7"
# Longest code, in instructions of four bytes: the constants behind it must be within the reach of ADR, 4,095 bytes.
_LONGEST = 1000


@dataclass(frozen=True)
class PlaneRows:
    """Some rows of outputs.

    tile: their geometry, with the columns of the image as pitch. left: columns of the border. border: its value.
    """

    tile: Depthwise
    left: int
    border: int

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        value = f"{abs(self.border)}{'n' if self.border < 0 else ''}"
        return f"{self.tile.name}_border{self.left}_with{value}"

    @property
    def outputs(self) -> int:
        """Outputs of one channel."""
        return self.tile.height * self.tile.width

    @cached_property
    def lanes(self) -> Lanes | None:
        """How windows lie in vectors; None when none hold them."""
        for outputs in range(min(MAX_VECTORS, self.tile.width), 0, -1):
            found = arrange(self.tile, outputs)
            if found is not None:
                return found
        return None


@dataclass(frozen=True)
class Load:
    """A vector of taps. position: of its first tap in the plane. invalid: lanes outside of the image.

    products: (output among those of the chunk, weight vector, whether it is the output's first product).
    """

    position: int
    invalid: int
    products: tuple[tuple[int, int, bool], ...]


def within_reach(rows: PlaneRows, lanes: Lanes) -> bool:
    """Whether the code of all outputs, which is not looped over, is short enough."""
    return len(_group(rows, lanes)) <= _LONGEST


def rows_kernel(rows: PlaneRows, lanes: Lanes) -> MicroKernel:
    """Micro-kernel: all outputs of `groups` times eight channels."""
    code = [*_prologue(rows, lanes), "1:", *_group(rows, lanes), "bne 1b", *restore(_stack(rows))]
    literals = [line for count in _sizes(rows) for line in data(sum_offsets(count), 4)]
    code = ordered(code, sources=("r7", "r9"))
    return function(
        rows.name, PARAMETERS, [*code, ".balign 4", "8:", *data(lanes.tap_offsets(), 1), *literals]
    )


def rows_parts(rows: PlaneRows, lanes: Lanes, groups: int) -> Parts:
    """Instructions of one call."""
    tile, products, outputs, multiplications = rows.tile, 0, 0, 0
    chunks = list(chunks_of(rows))
    for start, count in chunks:
        channel = _channel(rows, lanes, start, count)
        products += SUMMED * (len(channel) + 1)
        outputs += count * (len(summed_output(tile.requantization, count)) + 1)
        multiplications += SUMMED * sum(line.startswith("vmladav") for line in channel)
    once = sum(
        turns * sum(not line.endswith(":") for line in lines) for turns, lines in _sections(rows, lanes)
    )
    each = sum(
        len(_channel(rows, lanes, start, count)) + len(summed_output(tile.requantization, count)) + 2
        for start, count in chunks
    )
    frame = len(_prologue(rows, lanes)) + len(restore(_stack(rows)))
    return Parts(
        products=groups * products,
        outputs=groups * outputs,
        calls=frame + groups * (once + 1 - each),
        multiplications=groups * multiplications,
    )


@dataclass(frozen=True)
class _Passage:
    """Code for some whole rows of outputs, executed `turns` times.

    chunks: (first output, outputs) of the first turn.
    """

    turns: int
    rows: int
    chunks: tuple[tuple[int, int], ...]


def _passages(rows: PlaneRows) -> Iterator[_Passage]:
    """As many whole rows as the sums hold, and what is left; or a row in equal parts, as far as vectors are filled."""
    width, height, most = rows.tile.width, rows.tile.height, MAX_SUMMED_OUTPUTS
    if width <= most:
        each = min(most // width, height)
        yield _Passage(height // each, each, ((0, each * width),))
        if height % each:
            yield _Passage(1, height % each, ((height // each * each * width, height % each * width),))
        return
    size = -(-width // -(-width // most))
    sharing = rows.lanes.outputs if rows.lanes is not None else 1
    filled = -(-size // sharing) * sharing
    size = filled if filled <= most else size
    yield _Passage(height, 1, tuple((first, min(size, width - first)) for first in range(0, width, size)))


def chunks_of(rows: PlaneRows) -> Iterator[tuple[int, int]]:
    """(first output, outputs) of all chunks, in order."""
    for passage in _passages(rows):
        for turn in range(passage.turns):
            for first, count in passage.chunks:
                yield turn * passage.rows * rows.tile.width + first, count


def _sizes(rows: PlaneRows) -> list[int]:
    """Sizes of the chunks, each once."""
    return list(dict.fromkeys(count for _, count in chunks_of(rows)))


def _sums(rows: PlaneRows) -> int:
    """Bytes of the sums, which lie where the stack begins."""
    return SUMMED * max(_sizes(rows)) * _WORD


def _stack(rows: PlaneRows) -> int:
    return _sums(rows) + _OWN


def _prologue(rows: PlaneRows, lanes: Lanes) -> list[str]:
    own = _sums(rows)
    first = loads_of(rows, lanes, 0, 1)[0].position
    code = [*save(_stack(rows)), f"strd r2, r3, [sp, #{own + _TABLE}]", "mov r7, r0", "mov r9, r1"]
    code += add_constant("r7", first)
    return [*code, f"ldr r0, [sp, #{_stack(rows) + SAVED_BYTES}]", f"str r0, [sp, #{own + _GROUPS}]"]


def _group(rows: PlaneRows, lanes: Lanes) -> list[str]:
    """Eight channels, up to the flags of the group counter; r7 at the first vector of taps, r9 at the weights."""
    return [line for _, lines in _sections(rows, lanes) for line in lines]


def _sections(rows: PlaneRows, lanes: Lanes) -> Iterator[tuple[int, list[str]]]:
    """The code of a group in order, each part with how often it is executed."""
    own, how = _sums(rows), rows.tile.requantization
    chunks = list(chunks_of(rows))
    first, last = (loads_of(rows, lanes, *chunk)[0].position for chunk in (chunks[0], chunks[-1]))
    yield 1, [f"strd r7, r9, [sp, #{own + _PLACE}]"] if len(chunks) > 1 else []
    place = first
    for passage in _passages(rows):
        code: list[str] = []
        for start, count in passage.chunks:
            if len(chunks) > 1:
                code.append(f"ldrd r7, r9, [sp, #{own + _PLACE}]")
                code += add_constant("r7", loads_of(rows, lanes, start, count)[0].position - place)
            code += _chunk(rows, lanes, start, count)
        if passage.turns > 1:
            yield 1, [f"movs r0, #{passage.turns}", f"str r0, [sp, #{own + _TURNS}]"]
            step = passage.rows * rows.tile.strides[0] * rows.tile.pitch
            code += [f"ldr r0, [sp, #{own + _PLACE}]", *add_constant("r0", step)]
            code += [f"str r0, [sp, #{own + _PLACE}]", f"ldr r0, [sp, #{own + _TURNS}]", "subs r0, r0, #1"]
            code = ["4:", *code, f"str r0, [sp, #{own + _TURNS}]", "bne 4b"]
            place += passage.turns * step
        yield passage.turns, code
    # To the next eight channels: of the first output, and of the table.
    words = _WORD * (SUMMED * len(how.words) + SUMMED // _WORD)
    code = add_constant("r7", first - last)
    code += [f"mov r0, #{rows.outputs}", "mls r3, r0, r4, r3", f"adds r3, r3, #{SUMMED}"]
    code += [*add_constant("r5", words), f"strd r5, r3, [sp, #{own + _TABLE}]"]
    yield 1, [*code, f"ldr r0, [sp, #{own + _GROUPS}]", "subs r0, r0, #1", f"str r0, [sp, #{own + _GROUPS}]"]


def _chunk(rows: PlaneRows, lanes: Lanes, start: int, count: int) -> list[str]:
    """Outputs of eight channels; r7 at the first vector of taps, r9 at the weights, both moved on by the channels."""
    own, arguments, how = _sums(rows), _stack(rows) + SAVED_BYTES, rows.tile.requantization
    masks = _masks(loads_of(rows, lanes, start, count))
    code = ["mov r1, sp", "adr.w r0, 8f", f"vldrb.u8 {_OFFSETS}, [r0]"]
    if masks:
        code.append(f"vmov.i8 {_BORDER}, #{rows.border & 0xFF}")
    if len(masks) <= len(_MASKS):
        code += [f"movw {register}, #{mask}" for register, mask in zip(_MASKS, masks, strict=False)]
    code += [f"vmsr p0, {_MASKS[0]}"] if len(masks) == 1 else []
    code += [f"movs r3, #{SUMMED}", "2:", *_channel(rows, lanes, start, count), "bne 2b"]
    code += [f"ldrd r5, r3, [sp, #{own + _TABLE}]", f"ldrd r4, r6, [sp, #{arguments + 4}]"]
    code += ["adr.w r0, 8f", f"vldrw.u32 q6, [r0, #{LANES * (1 + _sizes(rows).index(count))}]"]
    code += [*summed_constants(how), f"mov lr, #{count}", "dls lr, lr"]
    return [*code, "3:", *summed_output(how, count), "le lr, 3b", f"str r3, [sp, #{own + _OUTPUT}]"]


def _masks(loads: list[Load]) -> list[int]:
    """Predicates of the vectors that reach beyond the image, each once."""
    everything = (1 << LANES) - 1
    return list(dict.fromkeys(everything & ~load.invalid for load in loads if load.invalid))


def loads_of(rows: PlaneRows, lanes: Lanes, start: int, count: int) -> list[Load]:
    """Vectors of taps of `count` outputs from `start` on."""
    tile, found, done = rows.tile, [], 0
    while done < count:
        y, x = divmod(start + done, tile.width)
        sharing = min(lanes.outputs, count - done, tile.width - x)
        # The last vector of a row ends with the row.
        base = min(x, tile.width - lanes.outputs)
        # Parts forth and back, so that an address only goes to a neighbouring part or output.
        parts = list(range(lanes.parts))
        if done % 2:
            parts.reverse()
        for part in parts:
            products = tuple(
                (done + index, part if lanes.outputs == 1 else x - base + index, part == parts[0])
                for index in range(sharing)
            )
            position = lanes.position(y * tile.width + base, part) - rows.left
            found.append(Load(position, _invalid(rows, lanes, base), products))
        done += sharing
    return found


def _invalid(rows: PlaneRows, lanes: Lanes, output: int) -> int:
    """Lanes of the taps from a column's output on that lie outside of the image."""
    tile = rows.tile
    first = output * tile.strides[1] - rows.left
    inside = [
        0 <= first + column * tile.dilation[1] < tile.pitch
        for _ in range(lanes.rows)
        for column in range(lanes.columns)
    ]
    # Lanes without taps repeat the first one.
    inside += [inside[0]] * (LANES - len(inside))
    return sum(1 << lane for lane, good in enumerate(inside) if not good)


def _channel(rows: PlaneRows, lanes: Lanes, start: int, count: int) -> list[str]:
    """Sums of one channel, up to the flags of the loop counter; r7 at the first vector, r9 weights, r1 sums."""
    loads = loads_of(rows, lanes, start, count)
    masks = _masks(loads)
    if lanes.outputs > 1:
        code = [f"vldrb.u8 q{k}, [r9, #{-k * lanes.sharing_step}]" for k in range(lanes.outputs - 1, 0, -1)]
        code.append(f"vldrb.u8 q0, [r9], #{LANES}")
    else:
        code = [f"vldrb.u8 q{part}, [r9], #{LANES}" for part in range(lanes.parts)]
    free = [f"q{register}" for register in range(lanes.vectors, 6)]
    position, current = loads[0].position, masks[0] if len(masks) == 1 else None
    for number, load in enumerate(loads):
        vector = free[number % len(free)]
        code += add_constant("r7", load.position - position)
        position = load.position
        if load.invalid:
            mask = ((1 << LANES) - 1) & ~load.invalid
            if mask != current:
                register = _MASKS[masks.index(mask)] if len(masks) <= len(_MASKS) else _MASKS[0]
                code += [f"movw {register}, #{mask}"] if len(masks) > len(_MASKS) else []
                code.append(f"vmsr p0, {register}")
                current = mask
            code += ["vpst", f"vldrbt.u8 {vector}, [r7, {_OFFSETS}]", f"vpsel {vector}, {vector}, {_BORDER}"]
        else:
            code.append(f"vldrb.u8 {vector}, [r7, {_OFFSETS}]")
        following = loads[number + 1].products[0][0] if number + 1 < len(loads) else count
        for output, weights, first in load.products:
            product = "vmladav" if first else "vmladava"
            code.append(f"{product}.s8 {ACCUMULATORS[output % OUTPUTS]}, {vector}, q{weights}")
            # Sums are stored when all accumulators are full, and at the end.
            made = output + 1
            if following > output and (made % OUTPUTS == 0 or made == count):
                filled = ACCUMULATORS[: output % OUTPUTS + 1]
                code.append(f"stm r1!, {{{', '.join(filled)}}}" if len(filled) > 1 else "str r0, [r1], #4")
    return [*code, *add_constant("r7", rows.tile.size - position + loads[0].position), "subs r3, r3, #1"]
