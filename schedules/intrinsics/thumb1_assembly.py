"""Writing Armv6-M micro-kernels: frames, constants and the requantisation that all of them share.

Only r0-r7 take part in most instructions; r8-r12 and lr hold what is moved or added now and then.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..kernel import MicroKernel
from ..requantize_split import SHIFT_BITS, SplitForm

WORD = 4
SAVED = ("r4", "r5", "r6", "r7")
HIGH = ("r8", "r9", "r10", "r11")
# Bytes that `function` pushes: r4-r7 and lr, then r8-r11.
PUSHED = WORD * (len(SAVED) + 1 + len(HIGH))
# Where a channel's constants lie in a frame, in words: bias in one half and in both; `low` only for three parts.
BIAS, BOTH, MIDDLE, HIGHEST, ADDEND, SHIFT, LOW = range(7)
CONSTANTS = LOW + 1
# Values of a loop that a function unrolls.
UNROLL = 4


def function(name: str, parameters: str, lines: Sequence[str], frame: int) -> MicroKernel:
    """A C function of the given instructions with `frame` bytes of stack; all registers may be changed."""
    moves = [f"mov {low}, {high}" for low, high in zip(SAVED, HIGH, strict=True)]
    back = [f"mov {high}, {low}" for low, high in zip(SAVED, HIGH, strict=True)]
    return naked(
        name,
        parameters,
        [
            *("push {r4-r7, lr}", *moves, "push {r4-r7}"),
            *([f"sub sp, #{frame}"] if frame else []),
            *lines,
            *([f"add sp, #{frame}"] if frame else []),
            *("pop {r4-r7}", *back, "pop {r4-r7, pc}"),
        ],
    )


def naked(name: str, parameters: str, lines: Sequence[str]) -> MicroKernel:
    """A C function that consists of the given instructions."""
    text = "\n".join(f'        "{line}\\n"' for line in (".syntax unified", *lines))
    body = f"{{\n    __asm__ volatile(\n{text});\n}}\n"
    return MicroKernel(name, f"__attribute__((naked, noinline)) static void {name}({parameters})\n{body}")


def argument(index: int, frame: int) -> str:
    """Address of an argument from the fifth on (index 0) in a function with `frame` bytes of stack."""
    return f"[sp, #{frame + PUSHED + WORD * index}]"


def constants_of(
    channel: int, slot: int, form: SplitForm, factors: str, fine: str, point: str, rounding: str
) -> list[str]:
    """Put the constants of a channel into the frame.

    slot: word of the frame where they begin. factors, fine: registers with the addresses of the channels' words and
    bytes. point, rounding: addresses of these values. Uses r4-r7.
    """
    at = {name: f"[sp, #{WORD * (slot + place)}]" for name, place in _PLACES.items()}
    code = [f"ldr r4, [{factors}, #{2 * WORD * channel}]", f"str r4, {at['bias']}"]
    code += ["lsls r5, r4, #16", "adds r4, r4, r5", f"str r4, {at['both']}"]
    code += [f"ldr r5, [{factors}, #{2 * WORD * channel + WORD}]"]
    code += ["movs r6, #31", "ands r6, r5", f"str r6, {at['shift']}", f"lsrs r5, r5, #{SHIFT_BITS}"]
    names = ("highest", "middle", "low")[: form.parts]
    for part, name in enumerate(names[:-1], start=1):
        left = form.bits * (form.parts - part)
        code += [f"lsrs r7, r5, #{left}", f"str r7, {at[name]}", f"lsls r7, r7, #{left}", "subs r5, r5, r7"]
    code += [f"str r5, {at[names[-1]]}"]
    code += [f"ldr r4, {point}", "lsls r4, r6", "asrs r4, r4, #1", f"ldr r5, {rounding}", "adds r4, r4, r5"]
    return [
        *code,
        f"movs r5, #{channel}",
        f"ldrsb r5, [{fine}, r5]",
        "adds r4, r4, r5",
        f"str r4, {at['addend']}",
    ]


_PLACES = {
    "bias": BIAS,
    "both": BOTH,
    "middle": MIDDLE,
    "highest": HIGHEST,
    "addend": ADDEND,
    "shift": SHIFT,
    "low": LOW,
}


def load_constants(slot: int, form: SplitForm) -> list[str]:
    """Load what `requantized` needs from a frame: r2 middle, r3 highest, r4 addend, r5 shift, r1 low."""
    first = WORD * (slot + MIDDLE)
    return [f"add r1, sp, #{first}", "ldmia r1!, {r2-r5}", *(["ldr r1, [r1]"] if form.parts == 3 else [])]


def start_sums(slot: int, whole: str, high: str, scratch: str) -> list[str]:
    """Let the sum of both pixels and that of the second one begin with the bias."""
    bias, both = (f"ldr {scratch}, [sp, #{WORD * (slot + place)}]" for place in (BIAS, BOTH))
    return [bias, f"mov {high}, {scratch}", both, f"mov {whole}, {scratch}"]


def pair_sums(whole: str, high: str) -> list[str]:
    """r7 = the first pixel's sum, of sums of both and of the second one; uses r0."""
    return [f"mov r7, {high}", "lsls r0, r7, #16", f"mov r7, {whole}", "subs r7, r7, r0"]


def spoils_r6(form: SplitForm) -> bool:
    """Whether `requantized` needs r6."""
    return form.parts == 3


def requantized(form: SplitForm, low: int, high: int) -> list[str]:
    """Turn the sum in r7 into an output; constants as `load_constants` leaves them. Uses r0, and r1 or r6."""
    code = ["movs r0, r7"]
    if form.parts == 3:
        code += ["muls r0, r1, r0", f"asrs r0, r0, #{form.bits}"]
        code += ["movs r6, r7", "muls r6, r2, r6", "adds r0, r0, r6", f"asrs r0, r0, #{form.bits}"]
    else:
        code += ["muls r0, r2, r0", f"asrs r0, r0, #{form.bits}"]
    if form.signed:
        free = "r6" if form.parts == 3 else "r1"
        code += [f"asrs {free}, r7, #31", f"lsls {free}, {free}, #{form.bits}", f"adds r0, r0, {free}"]
    code += ["muls r7, r3, r7", "adds r7, r7, r0", "adds r7, r7, r4", "asrs r7, r5"]
    return [*code, *limited("r7", "r0", low, high)]


def limited(x: str, scratch: str, low: int, high: int) -> list[str]:
    """Clamp x to [low, high]."""
    if (low, high) == (-128, 127):
        # Out of range, the sign gives the limit: 127 for 0, -128 for -1.
        inside = [f"sxtb {scratch}, {x}", f"cmp {scratch}, {x}", "beq 3f"]
        return [*inside, f"asrs {x}, {x}, #31", f"movs {scratch}, #127", f"eors {x}, {scratch}", "3:"]
    below = [*_signed(scratch, low), f"cmp {x}, {scratch}", "bge 3f", f"mov {x}, {scratch}", "3:"]
    above = [*_signed(scratch, high), f"cmp {x}, {scratch}", "ble 4f", f"mov {x}, {scratch}", "4:"]
    return below + above


def clamp_name(low: int, high: int) -> str:
    """Part of a function's name that tells its limits."""
    return "" if (low, high) == (-128, 127) else f"_{low}_{high}".replace("-", "m")


def _signed(register: str, value: int) -> list[str]:
    return [f"movs {register}, #{abs(value)}", *([f"rsbs {register}, {register}, #0"] if value < 0 else [])]
