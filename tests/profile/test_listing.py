"""Disassembly as text: what the assembler would refuse is replaced, what belongs together stays together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.profile.listings import ARM_COUNTS, arm_listing
from tvm_tinyml.profile.listing import Group, Stretch, parse_listing
from tvm_tinyml.profile.runs import called_functions, straight_runs


def test_functions_end_at_headers_and_at_data() -> None:
    stretches = arm_listing()
    assert [stretch.function for stretch in stretches] == ["tiny_run", "tiny_scale", "tiny_scale"]
    assert [len(stretch.groups) for stretch in stretches] == [3, 8, 1]


def test_branch_targets_become_one_symbol_and_comments_go() -> None:
    texts = [text for stretch in arm_listing() for group in stretch.groups for text in group.texts]
    assert "bl target" in texts
    assert "bne target" in texts
    assert "ldr r3, [pc, #0x18]" in texts
    assert not any("@" in text or "<" in text for text in texts)


def test_predicated_instructions_stay_with_the_one_that_opens_their_block() -> None:
    block = next(group for stretch in arm_listing() for group in stretch.groups if len(group.texts) > 1)
    assert block.texts == ("ite le", "rsble r4, r2, r3", "movgt r4, #0x1")
    assert block.addresses == (0x124, 0x126, 0x128)


@pytest.mark.parametrize(
    ("mnemonic", "covered"),
    [
        ("it ne", 1),
        ("ittet eq", 4),
        ("vpst", 1),
        ("vpstee", 3),
        ("vpt.u32 hi, q1, q2", 1),
        ("vpte.s8 eq, q0, q1", 2),
    ],
)
def test_every_kind_of_block_covers_what_its_name_says(mnemonic: str, covered: int) -> None:
    lines = [mnemonic, *["adds r0, #1"] * 5]
    listing = "00000000 <f>:\n" + "\n".join(f"{2 * n:x}: \t{line}" for n, line in enumerate(lines))
    (stretch,) = parse_listing(listing)
    assert [len(group.texts) for group in stretch.groups] == [1 + covered] + [1] * (5 - covered)


@pytest.mark.parametrize(
    "mnemonic", ["itself", "vpsel q0, q1, q2", "vptest", "vpush {d8}", "vpop {d8}", "vpnot"]
)
def test_look_alikes_open_no_block(mnemonic: str) -> None:
    (stretch,) = parse_listing(f"00000000 <f>:\n0: \t{mnemonic}\n2: \tnop\n")
    assert len(stretch.groups) == 2


def test_runs_are_cut_where_counts_change() -> None:
    runs = [(run.function, len(run.texts), run.count) for run in straight_runs(arm_listing(), ARM_COUNTS)]
    assert runs == [("tiny_run", 3, 1), ("tiny_scale", 1, 1), ("tiny_scale", 6, 10), ("tiny_scale", 2, 1)]


def test_calls_are_those_of_other_functions() -> None:
    assert called_functions(arm_listing()) == {"tiny_run": {"tiny_scale"}, "tiny_scale": {"memset"}}


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=30))
def test_runs_hold_every_executed_instruction_in_order(groups: list[tuple[int, int]]) -> None:
    made: list[Group] = []
    counts: dict[int, int] = {}
    for size, executed in groups:
        first = 10 * len(made)
        addresses = tuple(range(first, first + size))
        made.append(Group(addresses, tuple(map(str, addresses))))
        counts |= dict.fromkeys(addresses, executed)
    runs = list(straight_runs([Stretch("f", tuple(made))], counts))
    unrolled = [(int(text), run.count) for run in runs for text in run.texts]
    assert unrolled == [(address, count) for address, count in counts.items() if count]
    for group in made:
        # A group is in one run as a whole or in none.
        assert sum(group.texts[0] in run.texts for run in runs) == (counts[group.addresses[0]] > 0)
