"""`plan`: the memory map in the terminal, as data and as a picture."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.invocation import DIGITS, HOST, M4, refuse, succeed
from tvm_tinyml.cli.front_run import evenly_spread


def test_map_and_explanation_are_printed() -> None:
    text = succeed("plan", DIGITS, "--target", M4).stdout
    assert "conv2d_0" in text
    assert " ^ peak" in text
    assert "sets the peak" in text
    assert "lower bound (bytes)" in text


def test_document_holds_the_whole_plan() -> None:
    document = succeed("plan", DIGITS, "--target", M4, "--json").document
    assert set(document) == {
        "model",
        "quantization",
        "target",
        "arena_bytes",
        "arena_alignment",
        "lower_bound_bytes",
        "method",
        "optimal",
        "explanation",
        "peak_step",
        "steps",
        "tensors",
        "svg",
    }
    assert (document["model"], document["target"], document["svg"]) == ("digits", M4, None)
    assert document["lower_bound_bytes"] <= document["arena_bytes"]
    assert document["arena_bytes"] == max(t["offset"] + t["bytes"] for t in document["tensors"])
    steps = document["steps"]
    assert [step["index"] for step in steps] == list(range(len(steps)))
    assert steps[document["peak_step"]]["bytes_in_use"] == max(step["bytes_in_use"] for step in steps)
    for tensor in document["tensors"]:
        assert -1 <= tensor["first_step"] <= tensor["last_step"] <= len(steps)
        assert tensor["kind"] in ("input", "output", "tensor", "scratch")


def test_picture_is_an_svg_file(tmp_path: Path) -> None:
    picture = tmp_path / "new" / "plan.svg"
    document = succeed("plan", DIGITS, "--target", M4, "--svg", picture, "--json").document
    assert document["svg"] == str(picture)
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    assert [path.name for path in picture.parent.iterdir()] == ["plan.svg"]


def test_existing_picture_is_replaced_only_with_force(tmp_path: Path) -> None:
    picture = tmp_path / "plan.svg"
    picture.write_text("mine")
    assert "plan.svg exists; choose another place or pass --force" in refuse(
        "plan", DIGITS, "--target", M4, "--svg", picture
    )
    assert picture.read_text() == "mine"
    succeed("plan", DIGITS, "--target", M4, "--svg", picture, "--force")
    assert picture.read_text().startswith("<svg")


def test_picture_where_nothing_can_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = refuse("plan", DIGITS, "--target", M4, "--svg", tmp_path / "file" / "plan.svg")
    assert "check the path, its permissions and the free space" in message


def test_planner_option_reaches_the_plan() -> None:
    document = succeed("plan", DIGITS, "--target", f"{M4} -planner=exact", "--json").document
    assert document["method"] == "exact"
    assert document["optimal"] is True


def test_front_is_a_table_with_words() -> None:
    text = succeed("plan", DIGITS, "--target", M4, "--pareto").stdout
    assert "peak set by" in text
    assert "Plan 0: " in text
    assert "sets the peak" in text


def test_front_as_data_falls_in_memory_and_rises_in_work() -> None:
    held = succeed("plan", DIGITS, "--target", M4, "--pareto", "--json").document
    rows = succeed("plan", DIGITS, "--target", M4, "--pareto", "--input", "rows", "--json").document
    assert set(held) == {
        "model",
        "target",
        "input",
        "quantization",
        "plain_macs",
        "plain_instructions",
        "points",
    }
    assert held["quantization"] == []
    assert held["plain_instructions"] is held["points"][0]["instructions"] is None
    assert (held["input"], rows["input"]) == ("held", "rows")
    for points in (held["points"], rows["points"]):
        arenas = [point["arena_bytes"] for point in points]
        assert arenas == sorted(set(arenas), reverse=True)
        assert [point["macs"] for point in points] == sorted(point["macs"] for point in points)
        assert [point["next"] is None for point in points] == [False] * (len(points) - 1) + [True]
    assert rows["points"][-1]["arena_bytes"] <= held["points"][-1]["arena_bytes"]
    region = rows["points"][-1]["regions"][0]
    assert set(region) == {"operators", "strip", "rows", "segments", "settling", "floating"}
    in_bands = [name for segment in region["segments"] for name in segment["operators"]]
    assert sorted(region["operators"]) == sorted([*region["rows"], *in_bands])


def test_front_says_which_plan_keeps_a_budget() -> None:
    met = succeed("plan", DIGITS, "--target", f"{M4} -ram=64K", "--pareto").stdout
    assert "Plan 0 is the first whose arena takes at most the 64,512 bytes" in met
    missed = succeed("plan", DIGITS, "--target", f"{M4} -ram=2K", "--pareto").stdout
    assert "no plan found needs at most 1,024 bytes; the smallest needs" in missed


def test_a_plan_of_the_front_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "plan.svg"
    text = succeed("plan", DIGITS, "--target", M4, "--pareto", "--point", "1", "--svg", picture).stdout
    assert " ^ peak" in text
    assert "Plan 1: " in text
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_the_front_is_a_plot_and_a_page_with_the_memory_before_and_after(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot, page = tmp_path / "front.svg", tmp_path / "front.html"
    front = ("plan", DIGITS, "--target", f"{M4} -ram=5K", "--pareto", "--svg", plot, "--html", page)
    points = succeed(*front, "--json").document["points"]
    assert f"0: {points[0]['arena_bytes']:,}" in plot.read_text()
    text = page.read_text()
    assert text.count("<svg") == 3
    assert all(f"<td>{point['arena_bytes']:,}</td>" in text for point in points)
    # 1 KB of the budget is the stack's.
    kept = next(number for number, point in enumerate(points) if point["arena_bytes"] <= 4096)
    assert f"Plan {kept}: {points[kept]['arena_bytes']:,} bytes" in text
    assert "front.svg exists" in refuse(*front)


def test_pictures_and_data_are_of_one_plan_or_of_all(tmp_path: Path) -> None:
    front = ("plan", DIGITS, "--target", M4, "--pareto")
    assert "--html shows the plans of --pareto" in refuse(*front[:-1], "--html", tmp_path / "front.html")
    assert "without --json" in refuse(*front, "--point", "0", "--json")
    assert "of --pareto" in refuse("plan", DIGITS, "--target", M4, "--point", "0")
    assert "there is no plan 999" in refuse(*front, "--point", "999")


def test_plans_are_run_and_their_instructions_listed_beside_the_plain_builds(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "front.svg"
    document = succeed(
        "plan", DIGITS, "--target", M4, "--pareto", "--measure", "1", "--svg", plot, "--json"
    ).document
    plain, points = document["plain_instructions"], document["points"]
    assert plain == succeed("run", DIGITS, "--target", M4, "--json").document["instructions"]
    assert {point["instructions"] for point in points[:-1]} == {None}
    assert points[-1]["instructions_factor"] == points[-1]["instructions"] / plain > 1
    assert "instructions" in plot.read_text()


def test_plans_to_run_are_evenly_spread_and_need_an_emulated_board() -> None:
    assert [evenly_spread(9, count) for count in (1, 2, 3, 5, 9, 20)] == [
        [8],
        [0, 8],
        [0, 4, 8],
        [0, 2, 4, 6, 8],
        list(range(9)),
        list(range(9)),
    ]
    assert evenly_spread(1, 3) == [0]
    front = ("plan", DIGITS, "--target", HOST, "--measure", "1")
    assert "--measure runs plans of --pareto" in refuse(*front)
    assert "counted on emulated boards only" in refuse(*front, "--pareto")
