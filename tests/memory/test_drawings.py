"""Text and pictures of a plan: they fit, they name the right tensors, and hostile names cannot break them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings

from tests.memory.programs import (
    ABOVE_THE_BOUND,
    TIGHT_ONLY_FOR_EXACT,
    chain,
    concatenation,
    from_intervals,
    inverted_bottlenecks,
    programs,
)
from tvm_tinyml.memory import InPlace, Program, Step, Tensor, draw_svg, draw_text, explain, plan

SVG = "{http://www.w3.org/2000/svg}"


def rectangles(svg: str) -> dict[str, dict[str, float]]:
    """Position and size of the rectangle of each tensor, by the name in its tooltip."""
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        title, box = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        assert title is not None
        assert box is not None
        name = (title.text or "").split("\n")[0].rpartition(" (")[0]
        if name:
            found[name] = {key: float(box.attrib[key]) for key in ("x", "y", "width", "height")}
    return found


def test_the_map_shows_each_tensor_at_its_address_and_time() -> None:
    program = chain([16, 48, 16])
    assert draw_text(program, plan(program), height=4).splitlines() == [
        "bytes",
        "      |BBBBBBBBBBBBCCCCCCCCCCCC",
        "      |......AAAAAAAAAAAA......",
        "      |......AAAAAAAAAAAA......",
        "    0 |......AAAAAAAAAAAA......",
        "      +------------------------",
        "       <     0     1          >",
        "             ^ peak",
        "",
        "   bytes  at    steps  filled by  tensor",
        "A     48   0      0-1  conv2d_0   t1",
        "B     16  48  start-0  caller     t0",
        "C     16  48    1-end  conv2d_1   t2",
        "",
        "Step 0 (conv2d_0) sets the peak with 64 bytes in use: 't1' 48 (written), 't0' 16 (read). The arena",
        "of 64 bytes is the smallest possible for this order of steps.",
    ]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_network_of_sixty_steps_fits_in_the_terminal(width: int) -> None:
    program = inverted_bottlenecks(16)
    lines = draw_text(program, plan(program), width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) < 50
    steps = [line for line in lines if line.lstrip().startswith("<")]
    assert len(steps) == 1


@given(programs())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_plan_can_be_drawn(program: Program) -> None:
    made = plan(program, method="greedy")
    assert max(map(len, draw_text(program, made).splitlines())) <= 100
    assert explain(program, made)
    boxes = rectangles(draw_svg(program, made))
    scratch = [buffer.name for step in program.steps for buffer in step.scratch]
    assert boxes.keys() == {root.name for root in program.roots} | set(scratch)


def test_more_steps_than_columns_share_columns() -> None:
    program = inverted_bottlenecks(60)
    lines = draw_text(program, plan(program, method="greedy"), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.lstrip().startswith("<") and line.endswith(">") for line in lines)


def test_rectangles_lie_where_the_tensors_lie() -> None:
    program = chain([16, 48, 16])
    boxes = rectangles(draw_svg(program, plan(program)))
    first, second, third = boxes["t0"], boxes["t1"], boxes["t2"]
    assert first["y"] == third["y"] < second["y"]
    assert first["y"] + first["height"] == pytest.approx(second["y"])
    assert second["height"] == pytest.approx(3 * first["height"], abs=0.2)
    assert first["x"] + first["width"] == pytest.approx(third["x"])
    assert first["x"] < second["x"] < third["x"]


def test_tensors_that_share_bytes_in_place_share_the_step() -> None:
    tensors = (Tensor("in", 64, 16), Tensor("out", 64, 16))
    step = Step("relu_0", ("in",), ("out",), inplace=(InPlace("in", "out"),))
    program = Program(tensors, (step,), ("in",), ("out",))
    boxes = rectangles(draw_svg(program, plan(program)))
    assert boxes["in"]["y"] == boxes["out"]["y"]
    assert boxes["in"]["x"] + boxes["in"]["width"] == pytest.approx(boxes["out"]["x"])


def test_the_picture_names_operators_units_and_the_peak() -> None:
    program = inverted_bottlenecks(16)
    svg = draw_svg(program, plan(program), title="body <1> & more")
    texts = [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert "body <1> & more" in texts
    assert {"depthwise_conv2d", "add", "input", "output", "scratch"} <= set(texts)
    assert {"address in the arena (KiB)", "peak", "arena 239,616 B"} <= set(texts)
    assert any(text.startswith("Arena 239,616 bytes, optimal (exact planner). Peak: step ") for text in texts)


def test_a_gap_to_the_lower_bound_is_drawn_and_told() -> None:
    program = from_intervals(ABOVE_THE_BOUND)
    made = plan(program, method="greedy")
    assert "lower bound 10 B" in draw_svg(program, made)
    assert explain(program, made).endswith(
        "The arena of 11 bytes exceeds the lower bound of 10 by 1 (10.0%)."
    )


def test_the_explanation_says_why_each_tensor_is_there() -> None:
    program = concatenation()
    assert explain(program, plan(program)) == (
        "Step 1 (conv2d_1) sets the peak with 208 bytes in use: 'joined' 96 (written), 'image' 64 (read), "
        "'im2col' 48 (scratch). The arena of 208 bytes is the smallest possible for this order of steps."
    )
    program = from_intervals(TIGHT_ONLY_FOR_EXACT)
    assert "'t0' 4 (kept for step 'step_4')" in explain(program, plan(program))
    assert explain(program, plan(program, keep_all=True)).endswith("that keeps every tensor to the end.")


def test_the_explanation_is_short_for_many_tensors() -> None:
    program = from_intervals([(0, 3, size) for size in range(1, 40)])
    assert "33 more with 561." in explain(program, plan(program))


@pytest.mark.parametrize(
    ("program", "where"),
    [
        (
            Program((Tensor("a", 16, 16), Tensor("b", 8, 8)), (), ("a", "b"), ("a",)),
            "The time before the first",
        ),
        (Program((), (), (), ()), "The arena is empty"),
    ],
)
def test_programs_without_steps_are_explained_and_drawn(program: Program, where: str) -> None:
    made = plan(program)
    assert explain(program, made).startswith(where)
    assert where in draw_text(program, made)
    ElementTree.fromstring(draw_svg(program, made))


def test_hostile_names_are_made_harmless() -> None:
    name = "</svg><script>alert('1')</script>\x1b[2J\x00\ud800&\n" + 300 * "long/"
    step = Step(name, ("in",), (name,), scratch=(Tensor("]]>", 16, 16),))
    program = Program((Tensor("in", 1 << 20, 16), Tensor(name, 1 << 20, 16)), (step,), ("in",), (name,))
    made = plan(program)
    svg = draw_svg(program, made, title=name)
    ElementTree.fromstring(svg)
    assert "<script" not in svg
    for drawing in (svg, draw_text(program, made), explain(program, made)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]", drawing)
        drawing.encode()
    assert max(map(len, draw_text(program, made).splitlines())) <= 100


def test_drawings_are_the_same_every_time() -> None:
    program = inverted_bottlenecks(5)
    assert draw_svg(program, plan(program)) == draw_svg(program, plan(program))
    assert draw_svg(program, plan(program)).endswith("</svg>\n")
