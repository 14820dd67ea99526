"""Statements that run through an order of calls."""

from __future__ import annotations

import pytest

from tvm_tinyml.codegen.order import Repetition
from tvm_tinyml.codegen.order_source import statements_in_order


@pytest.mark.parametrize(("most", "kind"), [(253, "uint8_t"), (254, "uint16_t"), (1000, "uint16_t")])
def test_a_table_holds_the_numbers_of_all_calls(most: int, kind: str) -> None:
    calls = {number: [f"call_{number}();"] for number in range(most + 1)}
    texts = [text for _, text in statements_in_order(Repetition((0, most, 0), (), 1, ()), calls)]
    assert texts[0] == f"static const {kind} order[] = {{0, {most}, 0, {most + 2}}};"
    assert any(text.startswith(f"for (const {kind} *step = order;") for text in texts)


def test_calls_with_one_place_each_need_no_table() -> None:
    calls = {number: [f"call_{number}();"] for number in range(300)}
    order = Repetition((0,), (1, 2, 2), 4, (299,))
    texts = [text for _, text in statements_in_order(order, calls)]
    assert not any("order" in text for text in texts)
    assert [text for text in texts if text.startswith("call")] == [
        "call_0();",
        "call_1();",
        "call_2();",
        "call_299();",
    ]
