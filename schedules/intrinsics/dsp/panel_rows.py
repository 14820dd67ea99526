"""Pixels that lie one behind the other as a panel (`panel.py`): the same words of all of them side by side."""

from __future__ import annotations

from ...kernel import MicroKernel
from .assembly import naked_function


def panel_rows_function(pixels: int, scaled: bool) -> MicroKernel:
    """r0 walks over the pixels, r1 over the panel, r2 holds the words of a pixel, r3 what is left of them, r9 pixels.

    The two words that four values become are as `windows.py` has them.
    """
    step = 4 * pixels

    def group(word: str) -> list[str]:
        """The word in a register of its own, two more behind it free."""
        first, second = {"r4": ("r5", "r4"), "r6": ("r7", "r6")}[word]
        if scaled:
            lines = [f"sxtb16 {first}, {word}, ror #8", f"uxtb16 {second}, {word}"]
            lines += [f"orr {second}, r8, {second}, lsl #8", f"ssub16 {second}, {second}, {first}"]
        else:
            lines = [f"sxtb16 {first}, {word}", f"sxtb16 {second}, {word}, ror #8"]
        return [*lines, f"str {second}, [r1, #{step}]", f"str {first}, [r1], #{2 * step}"]

    lines = [
        "push {r4-r10, lr}",
        *(["mov r8, #0x7f007f"] if scaled else []),
        f"mov r9, #{pixels}",
        "mov r10, r1",
        "1:",
        "lsrs r3, r2, #1",
        "bcc 2f",
        "ldr r4, [r0], #4",
        *group("r4"),
        "2:",
        "cbz r3, 4f",
        "3:",
        "ldrd r4, r6, [r0], #8",
        *group("r4"),
        *group("r6"),
        "subs r3, #1",
        "bne 3b",
        "4:",
        "adds r10, #4",
        "mov r1, r10",
        "subs r9, #1",
        "bne 1b",
        "pop {r4-r10, pc}",
    ]
    name = f"tinyml_dsp_{'scaled' if scaled else 'plain'}_panel{pixels}_rows"
    return naked_function(name, "const int8_t *data, int16_t *panel, int32_t words", lines)
