"""Comparison with measurements of others: reading the file, joining, the best of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_tinyml.errors import RunError
from tvm_tinyml.profile.peers import OwnResult, PeerResult, compare, has_core, read_peers

HEADER = (
    "peer,core,flags,model,instructions,arena_bytes,flash_without_weights_bytes,exact_vs_a,exact_vs_b,notes"
)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "peers.csv"
    path.write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8")
    return path


def peer(
    instructions: int, *, exact: bool | None = True, model: str = "kws", core: str = "cortex-m4"
) -> PeerResult:
    return PeerResult("other", "-O2", core, model, {"instructions": instructions}, exact)


OWN = OwnResult("kws", "tinyml -mcpu=cortex-m4", "gcc", "cortex-m4", {"instructions": 500, "arena_bytes": 10})


def test_lines_are_read_with_what_was_measured(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'A,"mps2-an386 cortex-m4f","-O2, x",kws,100,200,300,"n (4/9, max 1)",y,',
        "B,cortex-m7,,kws,100,,,n,,FAILED",
        "C,cortex-m7,,kws,,,,,,not said",
    )
    first, second, third = read_peers(path)
    figures = {"instructions": 100, "arena_bytes": 200, "flash_without_weights_bytes": 300}
    assert first == PeerResult("A", "-O2, x", "mps2-an386 cortex-m4f", "kws", figures, True)
    assert (second.figures, second.exact) == ({"instructions": 100}, False)
    assert (third.figures, third.exact) == ({}, None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("A,m4,,kws,many,1,1,y,y,", r"line 2: instructions is 'many'"),
        ("A,m4,,kws,-3,1,1,y,y,", "not a positive whole number"),
        ("A,m4,,kws,0,1,1,y,y,", "not a positive whole number"),
        ("A,m4", "__read__"),
    ],
)
def test_lines_that_make_no_sense_are_refused_and_short_ones_have_no_figures(
    tmp_path: Path, line: str, message: str
) -> None:
    path = write(tmp_path, line)
    if message == "__read__":
        assert read_peers(path)[0].figures == {}
    else:
        with pytest.raises(RunError, match=message):
            read_peers(path)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file"):
        read_peers(tmp_path / "none.csv")
    other = tmp_path / "other.csv"
    other.write_text("name,value\n")
    with pytest.raises(RunError, match="no column peer, core, model, instructions"):
        read_peers(other)
    other.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(RunError, match="no CSV file"):
        read_peers(other)


@pytest.mark.parametrize(
    ("described", "core", "same"),
    [
        ("mps2-an386 cortex-m4f", "cortex-m4", True),
        ("Cortex-M7", "cortex-m7", True),
        ("mps3-an547 cortex-m55 MVE", "cortex-m55", True),
        ("mps3-an547 cortex-m55 MVE", "cortex-m5", False),
        ("virt rv32imac", "rv32imc", True),
        ("virt rv32imac", "rv32imcv", False),
        ("virt rv32imacv", "rv32imcv", True),
        ("cortex-m0plus", "cortex-m0", False),
    ],
)
def test_cores_are_recognised_in_descriptions(described: str, core: str, same: bool) -> None:
    assert has_core(described, core) is same


def test_only_the_same_model_and_core_are_compared() -> None:
    assert compare([OWN], [peer(1, model="ic"), peer(1, core="cortex-m7")]) == []
    (found,) = compare([OWN], [peer(900), peer(800), peer(1, model="ic")])
    assert (found.figure, found.value, found.ratio(found.peer)) == ("instructions", 500, 500 / 800)


def test_estimated_cycles_are_compared_where_the_file_has_them(tmp_path: Path) -> None:
    path = tmp_path / "peers.csv"
    path.write_text(
        "peer,core,model,instructions,estimated_cycles,arena_bytes,flash_without_weights_bytes\n"
        "A,cortex-m4,kws,900,1000,,\nB,cortex-m4,kws,800,,,\n"
    )
    own = OwnResult("kws", "m4", "gcc", "cortex-m4", {"instructions": 500, "estimated_cycles": 600})
    instructions, cycles = compare([own], read_peers(path))
    assert (instructions.figure, instructions.ratio(instructions.peer)) == ("instructions", 500 / 800)
    assert (cycles.figure, cycles.ratio(cycles.peer)) == ("estimated_cycles", 600 / 1000)


def test_estimated_cycles_stand_alone_where_no_peer_has_them() -> None:
    own = OwnResult("kws", "m4", "gcc", "cortex-m4", {"instructions": 500, "estimated_cycles": 600})
    _, cycles = compare([own], [peer(800)])
    assert (cycles.figure, cycles.value, cycles.ratio(cycles.peer)) == ("estimated_cycles", 600, None)
    assert compare([own], [peer(800, core="cortex-m7")]) == []


def test_of_two_compilers_the_better_counts_for_each_figure() -> None:
    gcc = OwnResult("kws", "m4", "gcc", "cortex-m4", {"instructions": 500, "arena_bytes": 10})
    clang = OwnResult("kws", "m4", "clang", "cortex-m4", {"instructions": 600, "arena_bytes": 9})
    other = OwnResult("kws", "m4 -io=caller", "clang", "cortex-m4", {"instructions": 700})
    rival = PeerResult("A", "", "cortex-m4", "kws", {"instructions": 900, "arena_bytes": 20}, True)
    found = [(one.own.target, one.figure, one.own.compiler) for one in compare([gcc, clang, other], [rival])]
    assert found == [
        ("m4", "instructions", "gcc"),
        ("m4", "arena_bytes", "clang"),
        ("m4 -io=caller", "instructions", "clang"),
    ]


def test_a_peer_with_wrong_outputs_stands_apart_and_only_where_it_is_better() -> None:
    right, better, worse = peer(800), peer(400, exact=False), peer(900, exact=False)
    (found,) = compare([OWN], [right, better, worse])
    assert (found.peer, found.inexact_peer) == (right, better)
    (found,) = compare([OWN], [right, worse])
    assert (found.peer, found.inexact_peer) == (right, None)
    (found,) = compare([OWN], [worse])
    assert (found.peer, found.inexact_peer) == (None, worse)
    assert found.ratio(found.peer) is None


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from([True, False, None])), max_size=6))
def test_no_peer_beats_the_best_one(peers: list[tuple[int, bool | None]]) -> None:
    rivals = [peer(count, exact=exact) for count, exact in peers]
    found = compare([OWN], rivals)
    assert len(found) == bool(rivals)
    for one in found:
        best = min(rival.figures["instructions"] for rival in rivals)
        named = [p.figures["instructions"] for p in (one.peer, one.inexact_peer) if p is not None]
        assert min(named) == best
