"""Sums of pixels added to running sums: four channels in the half words of two registers, pixel after pixel."""

from __future__ import annotations

from ...kernel import MicroKernel
from .assembly import naked_function

LANES = 4
# Largest offset of a load, and pixels of a run, which are written out.
_MAX_OFFSET, _MOST = 4095, 12


def longest_run(pixels: int, channels: int) -> int:
    """Pixels that one call takes in: as many as offsets reach, and a divisor of all of them."""
    most = min(_MOST, _MAX_OFFSET // channels + 1)
    return max(run for run in range(1, most + 1) if pixels % run == 0)


def sum_pixels(run: int, channels: int) -> MicroKernel:
    """Add `run` pixels of int8[pixels, channels] to int32 sums; r2 counts groups of four channels."""
    name = f"tinyml_dsp_sum_{run}_pixels_{channels}"
    parameters = "const int8_t *data, int32_t *sums, int32_t groups"
    return naked_function(
        name, parameters, ["push {r4-r7, lr}", "1:", *_group(run, channels), "pop {r4-r7, pc}"]
    )


def sum_instructions(run: int, channels: int, groups: int) -> float:
    """Instructions of one call, with the caller's."""
    return 10.0 + groups * len(_group(run, channels))


def _group(run: int, channels: int) -> list[str]:
    """r3: four channels of a pixel; r12: sums of the first and the third one, lr: of the other two."""
    lines = ["ldr r3, [r0]", "sxtb16 r12, r3", "sxtb16 lr, r3, ror #8"]
    for pixel in range(1, run):
        lines.append(f"ldr r3, [r0, #{pixel * channels}]")
        lines += ["sxtab16 r12, r12, r3", "sxtab16 lr, lr, r3, ror #8"]
    lines += ["ldm r1, {r4-r7}", "sxtah r4, r4, r12", "sxtah r5, r5, lr"]
    lines += ["add r6, r6, r12, asr #16", "add r7, r7, lr, asr #16", "stmia r1!, {r4-r7}"]
    return [*lines, f"adds r0, #{LANES}", "subs r2, #1", "bne 1b"]
