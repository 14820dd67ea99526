"""Depthwise convolution of one channel plane: SMLAD on pairs of neighbouring columns.

A tile is a few neighbouring outputs of a row with an accumulator each. For each row of the kernel its weights are
loaded as pairs, for outputs that start in the lower half of a word (w0 w1, w2 w3, ...) and in the upper half (w1 w2,
w3 w4, ...), and every word of the plane is used for all outputs of the tile before the next one is loaded. The
bias lies in the accumulator that is touched last and serves as the others' first addend, so it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm.script import tirx as T  # noqa: N812 - TVMScript's own name

from ... import script
from ...kernel import MicroKernel
from .assembly import Intrinsic, add_immediate, naked_function
from .epilogue import AWAY, FITTED, Accumulator, Epilogue
from .planes import MAX_PAIR_OFFSET, Planes

_REGISTERS = [*(f"r{number}" for number in range(1, 13)), "lr"]
# Longest piece of a kernel row whose weights stay in registers.
MAX_SEGMENT = 7
# How many outputs' code is as long as what a function has beside its tiles.
FRAME_OUTPUTS = 5


@dataclass(frozen=True)
class Window:
    """What one call computes: outputs int8[rows, columns], `channels` bytes from one to the next.

    kernel: rows and columns of the kernel; a dilated one has its holes as zeros in the columns.
    row_step: rows of the plane from one row of the kernel to the next. strides: between outputs. first_column: column
    of the plane that the first tap of the first output of a row reads. compact: by little code.
    """

    rows: int
    columns: int
    channels: int
    kernel: tuple[int, int]
    row_step: int
    strides: tuple[int, int]
    first_column: int
    compact: bool

    @property
    def span(self) -> int:
        """Rows of the plane that are read."""
        return (self.rows - 1) * self.strides[0] + (self.kernel[0] - 1) * self.row_step + 1

    @property
    def row_words(self) -> int:
        """Words of packed int8 weights per row of the kernel."""
        return (self.kernel[1] + 3) // 4


@dataclass(frozen=True)
class _Segment:
    """Neighbouring taps of a kernel row: `first` is the column of the first one, `slot` the first word in the frame."""

    row: int
    first: int
    taps: int
    words: tuple[tuple[int, int], ...]
    slot: int


def segments_of(window: Window) -> list[_Segment]:
    """The kernel in pieces, and which pairs of taps each needs as words."""
    found: list[_Segment] = []
    slot = 0
    columns = window.kernel[1]
    pieces = -(-columns // MAX_SEGMENT)
    for row in range(window.kernel[0]):
        first = 0
        for piece in range(pieces):
            taps = (columns - first) // (pieces - piece)
            phases = {
                (window.first_column + first + x * window.strides[1]) % 2 for x in range(window.columns)
            }
            pairs = {pair for phase in phases for _, pair, _ in _products(phase, taps)}
            whole = sorted(pair for pair in pairs if pair[1] == pair[0] + 1)
            # A single tap uses half of a pair that is there anyway, or else has a word of its own.
            singles = [
                pair for pair in sorted(pairs - set(whole)) if not any(pair[0] in other for other in whole)
            ]
            words = (*whole, *singles)
            found.append(_Segment(row, first, taps, words, slot))
            slot += len(words) + len(words) % 2
            first += taps
    return found


def _products(phase: int, taps: int) -> list[tuple[int, tuple[int, int], str]]:
    """Multiplications of an output that starts in half `phase` of word 0: word, taps and the half of the data."""
    products: list[tuple[int, tuple[int, int], str]] = []
    tap = 0
    if phase:
        products.append((0, (0, 0), "t"))
        tap = 1
    while tap < taps:
        word = (phase + tap) // 2
        if tap + 1 < taps:
            products.append((word, (tap, tap + 1), ""))
            tap += 2
        else:
            products.append((word, (tap, tap), "b"))
            tap += 1
    return products


@dataclass(frozen=True)
class Tiling:
    """A row of outputs: `count` tiles of `width`, then one of `rest`."""

    width: int
    count: int
    rest: int


def max_width(window: Window, epilogue: Epilogue) -> int:
    """Outputs of a tile: one accumulator each beside the weights, two words of data and the plane's pointer."""
    words = max(len(segment.words) for segment in segments_of(window))
    # The epilogue's operands (four or, with a shift, five) and two more registers lie where weights and data were.
    words = max(words, {FITTED: 2, AWAY: 5}.get(epilogue.form, 3))
    return max(1, len(_REGISTERS) - words - 2)


def tile_instructions(window: Window, width: int, start: int) -> int:
    """Instructions of a tile before its epilogue."""
    total = 0
    for segment in segments_of(window):
        phase, words, products = tile_products(window, segment, width, start)
        del phase
        total += -(-len(segment.words) // 2) + -(-words // 2) + len(products)
    return total


def tiling(window: Window, epilogue: Epilogue) -> Tiling:
    """The cheapest division of a row into tiles."""
    options = []
    for width in range(1, min(max_width(window, epilogue), window.columns) + 1):
        count, rest = divmod(window.columns, width)
        if count > 1 and width * window.strides[1] % 2:
            continue
        cost = count * (tile_instructions(window, width, 0) + 10 + width / 2)
        cost += tile_instructions(window, rest, count * width) + 7 if rest else 0
        # Two kinds of tiles are twice the code; where that counts, time is weighed by it.
        weight = FRAME_OUTPUTS + width + rest if window.compact else 1.04 if rest else 1.0
        options.append((cost * weight, width, count, rest))
    _, width, count, rest = min(options)
    return Tiling(width, count, rest)


def tile_products(
    window: Window, segment: _Segment, width: int, start: int
) -> tuple[int, int, list[tuple[int, int, tuple[int, int], str]]]:
    """First word, number of words, and multiplications (word, output, taps, half) of a tile in order of words."""
    column = window.first_column + segment.first + start * window.strides[1]
    base = (window.first_column + start * window.strides[1]) // 2
    products = [
        ((column + x * window.strides[1]) // 2 + word - base, x, pair, half)
        for x in range(width)
        for word, pair, half in _products((column + x * window.strides[1]) % 2, segment.taps)
    ]
    products.sort(key=lambda product: (product[0], product[1]))
    words = [product[0] for product in products]
    return words[0], words[-1] - words[0] + 1, products


@script.macro
def plane_stages(
    planes: Any,
    weights: Any,
    requantization: Any,
    sums: Any,
    output: Any,
    window: Any,
    offsets: Any,
    epilogue: Any,
) -> None:
    """Outputs of one channel for some rows.

    planes[row, lane, column], weights[channel, kernel rows, padded kernel columns], requantization[channel, 2],
    sums[rows, columns], output[row, column, channel].
    offsets: first row of the planes, lane, first output row, channel.
    """
    for y, x in T.grid(window.rows, window.columns):
        with T.sblock("bias"):
            vy, vx = T.axis.remap("SS", [y, x])
            sums[vy, vx] = epilogue.bias(requantization[offsets[3], 0])
    for y, x, i, j in T.grid(window.rows, window.columns, window.kernel[0], window.kernel[1]):
        with T.sblock("products"):
            vy, vx, vi, vj = T.axis.remap("SSRR", [y, x, i, j])
            sums[vy, vx] = sums[vy, vx] + T.Cast(
                "int32",
                planes[
                    offsets[0] + vy * window.strides[0] + vi * window.row_step,
                    offsets[1],
                    window.first_column + vx * window.strides[1] + vj,
                ],
            ) * T.Cast("int32", weights[offsets[3], vi, vj])
    for y, x in T.grid(window.rows, window.columns):
        with T.sblock("requantize"):
            vy, vx = T.axis.remap("SS", [y, x])
            output[offsets[2] + vy, vx, offsets[3]] = epilogue.value(
                sums[vy, vx], requantization[offsets[3], 0], requantization[offsets[3], 1]
            )


def depthwise_plane(window: Window, shape: Planes, epilogue: Epilogue) -> Intrinsic:
    """One channel; see `plane_stages`. The planes' pitch bounds what is read of a row."""
    lanes, pitch, origin = shape.lanes, shape.pitch, epilogue.origin
    extent = window.rows + (window.channels << 16)
    micro_kernel = _plane_function(window, shape, epilogue)
    function, rows, columns, span = micro_kernel.name, window.rows, window.columns, window.span
    kernel_rows, kernel_columns = window.kernel[0], 4 * window.row_words
    steps = [lanes * pitch, pitch, 1]
    output_steps = [columns * window.channels, window.channels, 1]

    def build() -> tuple[Any, Any]:
        @script.prim_func(s_tir=True)
        def description(p: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            planes = T.match_buffer(p, (span, 1, pitch), "int16", offset_factor=1, strides=steps)
            weights = T.match_buffer(w, (1, kernel_rows, kernel_columns), "int8", offset_factor=1)
            requantization = T.match_buffer(r, (1, 2), "int32", offset_factor=1)
            sums = T.match_buffer(s, (rows, columns), "int32", offset_factor=1)
            output = T.match_buffer(o, (rows, columns, 1), "int8", offset_factor=1, strides=output_steps)
            with T.sblock("root"):
                T.reads(
                    planes[0:span, 0, 0:pitch],
                    weights[0, 0:kernel_rows, 0:kernel_columns],
                    requantization[0, 0:2],
                )
                T.writes(sums[0:rows, 0:columns], output[0:rows, 0:columns, 0])
                plane_stages(planes, weights, requantization, sums, output, window, (0, 0, 0, 0), epilogue)

        @script.prim_func(s_tir=True)
        def implementation(p: T.handle, w: T.handle, r: T.handle, s: T.handle, o: T.handle) -> None:
            planes = T.match_buffer(p, (span, 1, pitch), "int16", offset_factor=1, strides=steps)
            weights = T.match_buffer(w, (1, kernel_rows, kernel_columns), "int8", offset_factor=1)
            requantization = T.match_buffer(r, (1, 2), "int32", offset_factor=1)
            sums = T.match_buffer(s, (rows, columns), "int32", offset_factor=1)
            output = T.match_buffer(o, (rows, columns, 1), "int8", offset_factor=1, strides=output_steps)
            with T.sblock("root"):
                T.reads(
                    planes[0:span, 0, 0:pitch],
                    weights[0, 0:kernel_rows, 0:kernel_columns],
                    requantization[0, 0:2],
                )
                T.writes(sums[0:rows, 0:columns], output[0:rows, 0:columns, 0])
                T.evaluate(
                    T.call_extern(
                        "int32",
                        function,
                        planes.access_ptr("r"),
                        weights.access_ptr("r"),
                        requantization.access_ptr("r"),
                        output.access_ptr("w"),
                        extent,
                        origin,
                    )
                )

        return description, implementation

    return Intrinsic(f"{function}_{extent}_{origin}", micro_kernel, build)


@dataclass(frozen=True)
class _Frame:
    """Offsets from the stack pointer: the weights' words come first."""

    weights: int

    @property
    def multiplier(self) -> int:
        """Multiplier, then the addend, so that one instruction loads both."""
        return self.weights

    @property
    def output(self) -> int:
        """Where the next output goes, then the distance from one to the next."""
        return self.weights + 8

    @property
    def bias(self) -> int:
        """First value of the accumulators."""
        return self.weights + 16

    @property
    def row_end(self) -> int:
        """Where the tiles of a row that run in a loop end."""
        return self.weights + 20

    @property
    def end(self) -> int:
        """First plane address behind the last row."""
        return self.weights + 24

    @property
    def shift(self) -> int:
        """Right shift of the channel."""
        return self.weights + 28

    @property
    def nbytes(self) -> int:
        """Size of the frame."""
        return self.weights + 32


def _expand(window: Window, segments: Sequence[_Segment]) -> list[str]:
    """Turn the packed int8 weights at r1 into the frame's words of pairs."""
    first_row = [segment for segment in segments if segment.row == 0]
    row_words = sum(len(segment.words) + len(segment.words) % 2 for segment in first_row)

    def half(tap: int) -> tuple[str, int]:
        return f"r{4 + tap // 4 * 2 + tap % 2}", tap % 4 // 2

    row = []
    for word in range(window.row_words):
        low, high = f"r{4 + 2 * word}", f"r{5 + 2 * word}"
        row += [f"ldr {high}, [r1], #4", f"sxtb16 {low}, {high}", f"sxtb16 {high}, {high}, ror #8"]
    for segment in first_row:
        for position, (a, b) in enumerate(segment.words):
            target = ("r12", "lr")[position % 2]
            (first, first_half), (second, second_half) = half(segment.first + a), half(segment.first + b)
            if a == b:
                row.append(f"mov {target}, {first}")
            elif first_half == 0:
                row.append(f"pkhbt {target}, {first}, {second}" + ("" if second_half else ", lsl #16"))
            elif second_half == 1:
                row.append(f"pkhtb {target}, {second}, {first}, asr #16")
            else:
                row += [f"lsr {target}, {first}, #16", f"pkhbt {target}, {target}, {second}, lsl #16"]
            offset = 4 * (segment.slot + position - position % 2)
            if position % 2:
                row.append(f"strd r12, lr, [r2, #{offset}]")
            elif position == len(segment.words) - 1:
                row.append(f"str r12, [r2, #{offset}]")
    lines = ["mov r2, sp"]
    if window.kernel[0] == 1:
        return [*lines, *row]
    lines += [f"add r3, sp, #{4 * row_words * window.kernel[0]}", "1:", *row]
    return [*lines, f"add r2, #{4 * row_words}", "cmp r2, r3", "bne 1b"]


def _tile(
    window: Window,
    shape: Planes,
    epilogue: Epilogue,
    segments: Sequence[_Segment],
    frame: _Frame,
    tile: tuple[int, int, int],
) -> list[str]:
    """tile: width, first output of the row and what the plane's pointer advances by."""
    width, start, advance = tile
    sums, free = _REGISTERS[:width], _REGISTERS[width:]
    lines = [f"ldr {sums[-1]}, [sp, #{frame.bias}]"]
    touched: set[int] = set()
    position = 0
    for segment in segments:
        weights, data = free[: len(segment.words)], free[-2:]
        for index in range(0, len(segment.words), 2):
            offset = 4 * (segment.slot + index)
            lines.append(
                f"ldrd {weights[index]}, {weights[index + 1]}, [sp, #{offset}]"
                if index + 1 < len(segment.words)
                else f"ldr {weights[index]}, [sp, #{offset}]"
            )
        first, words, products = tile_products(window, segment, width, start)
        address = segment.row * window.row_step * shape.row_bytes + 4 * first
        if not 0 <= address - position <= MAX_PAIR_OFFSET - 4 * words:
            lines += add_immediate("r0", address - position)
            position = address
        for word in range(0, words, 2):
            offset = address - position + 4 * word
            lines.append(
                f"ldrd {data[0]}, {data[1]}, [r0, #{offset}]"
                if word + 1 < words
                else f"ldr {data[0]}, [r0, #{offset}]"
            )
            for which, x, pair, side in products:
                if which - first not in (word, word + 1):
                    continue
                addend = sums[x] if x in touched else sums[-1]
                touched.add(x)
                operand = data[which - first - word]
                if pair in segment.words and pair[0] != pair[1]:
                    factor = weights[segment.words.index(pair)]
                    lines.append(f"smlad {sums[x]}, {operand}, {factor}, {addend}")
                else:
                    index, half = _single(segment, pair[0])
                    lines.append(f"smla{side}{half} {sums[x]}, {operand}, {weights[index]}, {addend}")
    multiplier, last, output, step = free[:4]
    shift = free[4] if epilogue.has_shifts else ""
    lines.append(f"ldrd {multiplier}, {last}, [sp, #{frame.multiplier}]")
    lines.append(f"ldrd {output}, {step}, [sp, #{frame.output}]")
    if epilogue.has_shifts:
        lines.append(f"ldr {shift}, [sp, #{frame.shift}]")
    accumulators = [Accumulator(register, multiplier, last, shift) for register in sums]
    lines += epilogue.requantize(accumulators, (free[-2], free[-1]))
    for x, register in enumerate(sums):
        lines.append(f"strb {register}, [{output}{f', {step}' if x % 2 else ''}]")
        if x % 2:
            lines.append(f"add {output}, {output}, {step}, lsl #1")
    return [
        *lines,
        *([f"add {output}, {step}"] if width % 2 else []),
        f"str {output}, [sp, #{frame.output}]",
        *add_immediate("r0", advance - position),
    ]


def _single(segment: _Segment, tap: int) -> tuple[int, str]:
    """Word of the segment that holds a tap, and its half."""
    for index, (a, b) in enumerate(segment.words):
        if a == b == tap:
            return index, "t" if (segment.first + tap) % 4 // 2 else "b"
        if a != b and tap in (a, b):
            return index, "t" if tap == b else "b"
    raise AssertionError(f"no word holds tap {tap}")


def _plane_function(window: Window, shape: Planes, epilogue: Epilogue) -> MicroKernel:
    """r0 walks over the plane; everything else that outlives a tile is in the frame."""
    segments = segments_of(window)
    frame = _Frame(4 * (segments[-1].slot + len(segments[-1].words) + len(segments[-1].words) % 2))
    step, row = window.strides[1], window.strides[0] * shape.row_bytes
    lines = [
        "push {r4-r11, lr}",
        "ldrd r12, lr, [sp, #36]",
        f"sub sp, #{frame.nbytes}",
        "lsr r8, r12, #16",
        "uxth r12, r12",
        "ldrd r4, r5, [r2]",
        *epilogue.unpack("r4", "r6", "lr", "r7"),
        *([f"str r7, [sp, #{frame.shift}]"] if epilogue.has_shifts else []),
        f"asr r4, r4, #{epilogue.bits}",
        *add_immediate("r0", window.first_column // 2 * 4),
        f"movw r7, #{row}",
        "mla r7, r12, r7, r0",
        f"str r7, [sp, #{frame.end}]",
        f"strd r3, r8, [sp, #{frame.output}]",
        f"str r4, [sp, #{frame.bias}]",
    ]
    lines += [f"strd r5, r6, [sp, #{frame.multiplier}]"]
    tiles = tiling(window, epilogue)
    looped = tiles.count * tiles.width * step * 2
    if tiles.count > 1:
        lines += ["mov r7, r0", *add_immediate("r7", looped), f"str r7, [sp, #{frame.row_end}]"]
    lines += _expand(window, segments)
    lines += ["2:"]
    if tiles.count > 1:
        lines += ["3:"]
        lines += _tile(window, shape, epilogue, segments, frame, (tiles.width, 0, tiles.width * step * 2))
        lines += [f"ldr r1, [sp, #{frame.row_end}]", "cmp r0, r1", "bne 3b"]
        consumed = looped
        lines += [*add_immediate("r1", row), f"str r1, [sp, #{frame.row_end}]"]
    else:
        start = tiles.width
        consumed = 4 * ((window.first_column + start * step) // 2 - window.first_column // 2)
        advance = consumed if tiles.rest else row
        lines += _tile(window, shape, epilogue, segments, frame, (tiles.width, 0, advance))
    if tiles.rest:
        rest = (tiles.rest, tiles.count * tiles.width, row - consumed)
        lines += _tile(window, shape, epilogue, segments, frame, rest)
    elif tiles.count > 1:
        lines += add_immediate("r0", row - consumed)
    lines += [f"ldr r1, [sp, #{frame.end}]", "cmp r0, r1", "bne 2b", f"add sp, #{frame.nbytes}"]
    lines += ["pop {r4-r11, pc}"]
    geometry = (window.columns, *window.kernel, window.row_step, *window.strides)
    place = (window.first_column, shape.lanes, shape.pitch)
    kind = "compact_plane" if window.compact else "plane"
    name = f"tinyml_dsp_{kind}_{'_'.join(str(number) for number in (*geometry, *place))}_{epilogue.key}"
    parameters = (
        "const int16_t *plane, const int8_t *weights, const int32_t *requantization, int8_t *output,"
        " int32_t extent, int32_t origin"
    )
    return naked_function(name, parameters, lines)
