"""Instructions of assembly are counted as a core would execute them."""

from __future__ import annotations

import pytest

from tvm_tinyml.schedules.intrinsics.listing import executed

CLAMP = ["bge a0, a1, 1f", "mv a0, a1", "1:"]
LOOP = ["2:", "lb a0, 0(a1)", "addi a2, a2, -1", "bnez a2, 2b"]
NESTED = ["li a3, 4", "1:", *LOOP, "addi a3, a3, -1", "beqz a3, 3f", "j 1b", "3:", "ret"]


@pytest.mark.parametrize(
    ("lines", "rounds", "expected"),
    [
        ([".syntax unified", "push {r4, lr}", "pop {r4, pc}"], (), 2),
        ([*CLAMP, "ret"], (), 2),
        ([*LOOP, "ret"], (5,), 16),
        (NESTED, (5, 4), 1 + 4 * (15 + 3) + 1),
    ],
)
def test_loops_count_their_rounds_and_branches_skip(
    lines: list[str], rounds: tuple[int, ...], expected: int
) -> None:
    assert executed(lines, *rounds) == expected
