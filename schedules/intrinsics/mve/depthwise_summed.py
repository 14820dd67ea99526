"""Depthwise tiles whose sums lie in memory before they are requantised: eight channels, few outputs of each.

A tile of few outputs, such as one row of a narrow image, does not fill vectors of outputs, and setting up for every
channel costs as much as its products. Here a loop over channels only multiplies, with the weights in the lanes of the
gathered taps, and leaves int32[8][outputs] on the stack. Then a loop over outputs requantises eight channels at once,
whose constants are vectors from the layer's table, and stores them side by side.
"""

from __future__ import annotations

from ...kernel import MicroKernel
from ...parts import Parts
from .assembly import ACCUMULATORS, SAVED_BYTES, add_constant, data, function, restore, save
from .depthwise import LANES, OUTPUTS, Depthwise, Lanes, arrange
from .epilogue import Requantization, correct_ties, narrow
from .ordering import ordered

# Channels of a tile.
SUMMED = 8
# Outputs of a tile: their sums lie on the stack.
MAX_SUMMED_OUTPUTS = 16
# `table` is int32[words of the requantisation][8], then a byte for each shift, even channels before odd ones; `pitch`
# is the distance of two output pixels.
SUMMED_PARAMETERS = (
    "const int8_t *planes",
    "const int8_t *weight",
    "const int32_t *table",
    "int8_t *output",
    "int32_t pitch",
    "int32_t zero_point",
)
_WORD = 4


def register_of(channel: int) -> int:
    """Place of a channel among the words of a table; also works on TensorIR expressions."""
    return channel // 2 + channel % 2 * (SUMMED // 2)


def summed_lanes(tile: Depthwise) -> Lanes | None:
    """How windows lie in the vectors of a tile; None when none hold them or a tile has too many outputs."""
    if tile.multiplier > 1 or tile.height * tile.width > MAX_SUMMED_OUTPUTS:
        return None
    pairs = arrange(tile, 2)
    # The weights of a pair's second output are those of the first, shifted by at most a word.
    return pairs if pairs is not None and 0 < pairs.sharing_step <= _WORD else arrange(tile, 1)


def summed_kernel(tile: Depthwise, lanes: Lanes) -> MicroKernel:
    """Micro-kernel of a tile of eight channels."""
    code = [*_prologue(tile, lanes), "1:", *_channel(tile, lanes), "bne 1b", *_constants(tile, lanes), "2:"]
    output = summed_output(tile.requantization, tile.height * tile.width)
    code = ordered([*code, *output, "le lr, 2b", *restore(_stack(tile))], sources=("r7", "r9", "r5"))
    literals = [
        *data(lanes.tap_offsets(), 1),
        *(data(lanes.tap_numbers(), 1) if lanes.outputs > 1 else []),
        *data(sum_offsets(tile.height * tile.width), 4),
    ]
    return function(tile.name, SUMMED_PARAMETERS, [*code, ".balign 4", "8:", *literals])


def summed_parts(tile: Depthwise, lanes: Lanes) -> Parts:
    """Instructions of one call."""
    outputs = tile.height * tile.width
    frame = len(_prologue(tile, lanes)) + len(_constants(tile, lanes)) + len(restore(_stack(tile)))
    channel = _channel(tile, lanes)
    return Parts(
        products=SUMMED * (len(channel) + 1),
        outputs=outputs * (len(summed_output(tile.requantization, outputs)) + 1),
        calls=frame,
        multiplications=SUMMED * sum(line.startswith("vmladav") for line in channel),
    )


def _stack(tile: Depthwise) -> int:
    """Sums, table and output."""
    return SUMMED * tile.height * tile.width * _WORD + 12


def sum_offsets(outputs: int) -> list[int]:
    """Sums of even channels, one before the first output: the loads move before they read."""
    return [2 * lane * outputs * _WORD - _WORD for lane in range(SUMMED // 2)]


def _prologue(tile: Depthwise, lanes: Lanes) -> list[str]:
    stack = _stack(tile)
    code = [*save(stack), f"strd r2, r3, [sp, #{stack - 12}]", "mov r7, r0", "mov r9, r1", "mov r11, sp"]
    code += ["adr.w r0, 8f", "vldrb.u8 q6, [r0]", *(["vldrb.u8 q5, [r0, #16]"] if lanes.outputs > 1 else [])]
    if lanes.parts == 1:
        code += [f"movw r0, #{lanes.weight_masks()[0]}", "vmsr p0, r0"]
    return [*code, f"movs r3, #{SUMMED}", "movs r1, #0"]


def _channel(tile: Depthwise, lanes: Lanes) -> list[str]:
    """Sums of one channel, up to the flags of the loop counter; r7 at its plane, r9 at its weights, r1 zero."""
    code: list[str] = []
    if lanes.outputs > 1:
        # The weights of the second output stand as many lanes further as its taps; what is shifted out is zero.
        code += ["vpst", "vldrbt.u8 q0, [r9, q5]", "vmov q1, q0", f"vshlc q1, r1, #{8 * lanes.sharing_step}"]
    else:
        masks = lanes.weight_masks()
        for part, mask in enumerate(masks):
            if lanes.parts > 1 and (part == 0 or mask != masks[part - 1]):
                code += [f"movw r0, #{mask}", "vmsr p0, r0"]
            code += ["vpst", f"vldrbt.u8 q{part}, [r9, #{lanes.first_row(part) * tile.kernel[1]}]"]
    code += add_constant("r9", tile.taps)
    outputs, position, passing = tile.height * tile.width, 0, 0
    for start in range(0, outputs, OUTPUTS):
        count = min(OUTPUTS, outputs - start)
        done = 0
        while done < count:
            x = (start + done) % tile.width
            sharing = min(lanes.outputs, count - done, tile.width - x)
            # Parts forth and back, so that an address only goes to a neighbouring part or output.
            parts = list(range(lanes.parts))
            for part in parts if (start + done) % 2 == 0 else reversed(parts):
                target = lanes.position(start + done, part)
                vector = f"q{lanes.vectors + passing % 2}"
                passing += _free(lanes) > 1
                code += [*add_constant("r7", target - position), f"vldrb.u8 {vector}, [r7, q6]"]
                first = part == (parts[0] if (start + done) % 2 == 0 else parts[-1])
                for index in range(sharing):
                    weights = part if lanes.outputs == 1 else index
                    product = "vmladav" if first else "vmladava"
                    code.append(f"{product}.s8 {ACCUMULATORS[done + index]}, {vector}, q{weights}")
                position = target
            done += sharing
        code.append(f"stm r11!, {{{', '.join(ACCUMULATORS[:count])}}}" if count > 1 else "str r0, [r11], #4")
    return [*code, *add_constant("r7", tile.size - position), "subs r3, r3, #1"]


def _free(lanes: Lanes) -> int:
    """Registers for data that passes: q5 holds taps, or nothing, and q6 offsets."""
    return (5 if lanes.outputs > 1 else 6) - lanes.vectors


def _constants(tile: Depthwise, lanes: Lanes) -> list[str]:
    """What stays while outputs pass: `summed_constants`, r5 table, r3 output, r4 distance of pixels, r6 zero point."""
    stack = _stack(tile)
    arguments = stack + SAVED_BYTES
    code = [f"ldrd r5, r3, [sp, #{stack - 12}]", f"ldrd r4, r6, [sp, #{arguments}]"]
    literals = LANES * (2 if lanes.outputs > 1 else 1)
    code += ["adr.w r0, 8f", f"vldrw.u32 q6, [r0, #{literals}]"]
    code += summed_constants(tile.requantization)
    return [*code, f"mov lr, #{tile.height * tile.width}", "dls lr, lr"]


def summed_constants(how: Requantization) -> list[str]:
    """Factors and shifts of eight channels in q2 to q5, from the table at r5; offsets of sums become addresses."""
    shifts = 4 * SUMMED * len(how.words)
    code = ["mov r1, sp", "vadd.i32 q6, q6, r1", "vldrw.u32 q2, [r5, #32]", "vldrw.u32 q3, [r5, #48]"]
    code += [f"vldrb.s32 q4, [r5, #{shifts}]", f"vldrb.s32 q5, [r5, #{shifts + 4}]"]
    return code + (["movs r8, #1"] if how.kind == "sign" else [])


def summed_output(how: Requantization, outputs: int) -> list[str]:
    """Eight channels of one output of `outputs`, to r3, which moves by r4; as `summed_constants` left registers."""
    both = ("q0", "q1")

    def with_words(row: int) -> list[str]:
        return [
            line
            for half, x in enumerate(both)
            for line in (f"vldrw.u32 q7, [r5, #{32 * row + 16 * half}]", f"vadd.i32 {x}, {x}, q7")
        ]

    code = ["vldrw.u32 q0, [q6, #4]!", f"vldrw.u32 q1, [q6, #{outputs * _WORD}]"]
    code += [*with_words(0), "vqrdmulh.s32 q0, q0, q2", "vqrdmulh.s32 q1, q1, q3"]
    code += correct_ties(both, "r8") if how.kind == "sign" else []
    code += with_words(2) if how.kind == "fit" else []
    shift = "vshl" if how.kind == "fit" else "vrshl"
    code += [f"{shift}.s32 q0, q0, q4", f"{shift}.s32 q1, q1, q5", *narrow(how, *both, "q7", "r6")]
    return [*code, "vstrb.16 q0, [r3]", "add r3, r3, r4"]
