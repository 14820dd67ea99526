"""Costs of functions and layers, of register lists and of vector instructions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_tinyml.profile.attribution import Cost, layer_costs
from tvm_tinyml.profile.listing import parse_listing
from tvm_tinyml.profile.register_lists import extra_cycles
from tvm_tinyml.profile.vector_groups import VectorType, function_costs, weight
from tvm_tinyml.runner.report import LayerCount


def test_a_helper_of_one_layer_is_part_of_it_and_shared_ones_are_divided_by_instructions() -> None:
    costs = {
        "run": Cost(10, 20.0),
        "conv": Cost(100, 200.0),
        "conv.part.0": Cost(50, 50.0),
        "tile": Cost(30, 90.0),
        "pool": Cost(40, 40.0),
        "memset": Cost(20, 10.0),
    }
    calls = {"run": {"conv", "pool"}, "conv": {"conv.part.0", "tile", "memset"}, "pool": {"memset"}}
    layers = [LayerCount("first", "conv", 190), LayerCount("last", "pool", 60)]
    first, last = layer_costs(costs, calls, layers)
    # 30 instructions at one cycle are shared: ten of them in conv, twenty in pool.
    assert (first.cycles, last.cycles) == (340.0 + 10.0, 40.0 + 20.0)


def test_layers_that_share_a_function_divide_its_cost_by_their_instructions() -> None:
    layers = [LayerCount("a", "conv", 30), LayerCount("b", "conv", 10)]
    a, b = layer_costs({"conv": Cost(40, 80.0, unknown=4)}, {}, layers)
    assert (a.cycles, b.cycles) == (60.0, 20.0)
    assert (a.unknown, b.unknown) == (3.0, 1.0)


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 300)), min_size=1, max_size=6))
def test_layers_cost_together_what_was_executed_for_them(functions: list[tuple[int, int]]) -> None:
    costs = {f"layer_{n}": Cost(count, 2.0 * count) for n, (count, _) in enumerate(functions)}
    costs["shared"] = Cost(sum(extra for _, extra in functions), 5.0)
    calls = {name: {"shared"} for name in costs if name != "shared"}
    # Two callers, else the only one owns what it calls and the figures are the same.
    layers = [LayerCount(f"l{n}", f"layer_{n}", count + extra) for n, (count, extra) in enumerate(functions)]
    total = sum(cost.cycles for cost in layer_costs(costs, calls, layers))
    expected = sum(2.0 * count for count, _ in functions)
    owned = len(functions) == 1
    assert total == pytest.approx(expected + (5.0 if owned or costs["shared"].instructions else 0.0))


@pytest.mark.parametrize(
    ("text", "m4", "m55"),
    [
        ("ldm.w r0, {r4, r5, r6, r7}", 4, 1),
        ("stmdb sp!, {r4, r5, lr}", 3, 1),
        ("push.w {r4, r5, r6, r7, r8, r9, r10, r11, lr}", 9, 4),
        ("pop {r4, pc}", 2, 0),
        ("vpush {d8, d9}", 4, 1),
        ("vldmia r0!, {s0, s1, s2}", 3, 1),
        ("ldrd r0, r2, [sp, #40]", 2, 0),
        ("strd r0, r2, [sp, #40]", 2, 0),
        ("ldr r0, [r1]", 0, 0),
        ("ldrb r0, [r1]", 0, 0),
        ("vst20.8 {q0, q1}, [r0]", 0, 0),
        ("tbb [pc, r0]", 0, 0),
    ],
)
def test_register_lists_cost_what_their_registers_take(text: str, m4: int, m55: int) -> None:
    assert extra_cycles(text, "cortex-m4") == m4
    assert extra_cycles(text, "cortex-m55") == m55


@pytest.mark.parametrize(
    ("mnemonic", "registers"),
    [
        ("addi", 1),
        ("vsetvli", 1),
        ("vadd.vv", 4),
        ("vwmacc.vx", 8),
        ("vwadd.wv", 8),
        ("vwredsum.vs", 4),
        ("vnclip.wi", 8),
        ("vnot.v", 4),
        ("vle8.v", 2),
        ("vle16.v", 4),
        ("vsse32.v", 8),
        ("vluxei8.v", 4),
        ("vsuxei32.v", 8),
        ("vlseg3e8.v", 6),
        ("vl8re8.v", 8),
        ("vs2r.v", 2),
        ("vmv1r.v", 1),
        ("vmv.x.s", 1),
        ("vmv.v.i", 4),
        ("vlm.v", 1),
        ("vmand.mm", 1),
        ("vsmul.vv", 4),
    ],
)
def test_vector_instructions_weigh_the_registers_of_their_widest_operand(
    mnemonic: str, registers: int
) -> None:
    assert weight(mnemonic, VectorType(16, Fraction(4))) == registers


def test_fractions_of_a_register_weigh_one_and_unknown_groups_are_told() -> None:
    assert weight("vadd.vv", VectorType(8, Fraction(1, 4))) == 1
    assert weight("vadd.vv", None) is None


def test_the_closest_setting_above_decides() -> None:
    listing = parse_listing(
        "80000000 <f>:\n"
        "80000000: \tvadd.vi v0, v0, 1\n"
        "80000004: \tvsetvli a5, zero, e16, m4, ta, ma\n"
        "80000008: \tvadd.vi v0, v0, 1\n"
        "8000000c: \tvsetivli zero, 4, e32, mf2, ta, ma\n"
        "80000010: \tvadd.vi v0, v0, 1\n"
        "80000014: \tvsetvl zero, a0, a1\n"
        "80000018: \tvadd.vi v0, v0, 1\n"
    )
    counts = {0x80000000 + 4 * n: 10 for n in range(7)}
    assert function_costs(listing, counts) == {"f": Cost(70, 100.0, unknown=20)}
