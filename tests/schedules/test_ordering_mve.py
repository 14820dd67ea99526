"""Ordered instructions of Arm MVE compute what they did before."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tvm_tinyml.schedules.intrinsics.mve.ordering import ordered

_VECTORS = st.sampled_from(["q0", "q1", "q2", "q3"])
_CORE = st.sampled_from(["r0", "r2", "r4"])
_OFFSETS = st.sampled_from([0, 16])


def _instructions() -> st.SearchStrategy[list[str]]:
    """Instructions of every unit, with whatever makes their order matter."""
    return st.one_of(
        st.builds(lambda q, a, b: [f"vadd.i32 {q}, {a}, {b}"], _VECTORS, _VECTORS, _VECTORS),
        st.builds(lambda q, a: [f"vqmovnt.s32 {q}, {a}"], _VECTORS, _VECTORS),
        st.builds(lambda r, a, b: [f"vmladava.s8 {r}, {a}, {b}"], _CORE, _VECTORS, _VECTORS),
        st.builds(lambda q, r: [f"vqdmlah.s32 {q}, {q}, {r}"], _VECTORS, _CORE),
        st.builds(lambda q, o: [f"vldrw.u32 {q}, [r1], #{o}"], _VECTORS, _OFFSETS),
        st.builds(lambda q, o: [f"vldrw.u32 {q}, [sp, #{o}]"], _VECTORS, _OFFSETS),
        st.builds(lambda q, o: [f"vstrw.32 {q}, [sp, #{o}]"], _VECTORS, _OFFSETS),
        st.builds(lambda r: [f"adds {r}, {r}, r5"], _CORE),
        st.builds(lambda r, p: ["it eq", f"moveq {r}, {p}"], _CORE, _CORE),
        st.builds(lambda q: ["vpst", f"vldrbt.u8 {q}, [r1]"], _VECTORS),
        st.builds(lambda r: [f"vmsr p0, {r}"], _CORE),
        st.just(["stmdb sp!, {r0, r2, r4}"]),
        st.just(["ldm sp, {r0, r2, r4}"]),
        st.just(["add sp, sp, #12"]),
    )


def _execute(code: list[str]) -> dict[str, Any]:
    """What registers, flags and memory hold at the end, as expressions of what they held before."""
    state: dict[str, Any] = {}

    def read(name: str) -> Any:
        return state.get(name, name)

    condition = ""
    for line in code:
        mnemonic, _, rest = line.partition(" ")
        if mnemonic in ("it", "vpst"):
            condition = {"it": "flags", "vpst": "p0"}[mnemonic]
            continue
        names = re.findall(r"q\d|r\d|sp|p0", rest)
        memory = mnemonic.startswith(("vldr", "vstr", "stm", "ldm"))
        base = ("sp" if "sp" in names else "r1") if memory else ""
        written = [name for name in names if name != base] if memory else names[:1]
        written = [] if mnemonic.startswith(("vstr", "stm")) else written
        moved = [base] if memory and ("!" in rest or "]," in rest) else []
        inputs = tuple(read(name) for name in (*names, *([condition] if condition else [])))
        stored = read("memory") if memory and base == "sp" else None
        value = (mnemonic, re.sub(r"[a-z]\d", "", rest), inputs, stored)
        if mnemonic.startswith(("vstr", "stm")):
            state["memory"] = value
        for number, name in enumerate([*written, *moved, *(["flags"] if mnemonic == "adds" else [])]):
            state[name] = (number, value)
        condition = ""
    return state


@given(st.lists(_instructions(), max_size=14))
def test_ordered_code_computes_the_same(groups: list[list[str]]) -> None:
    code = [line for group in groups for line in group]
    result = ordered(code, sources=("r1",))
    assert sorted(result) == sorted(code)
    assert _execute(result) == _execute(code)


def test_nothing_crosses_labels_and_branches() -> None:
    code = ["vadd.i32 q0, q0, q1", "1:", "vldrw.u32 q2, [r1]", "bne 1b", "vldrw.u32 q3, [r1]"]
    assert ordered(code) == code


def test_loads_go_beside_products() -> None:
    code = ["vldrw.u32 q0, [r1]", "vldrw.u32 q1, [r1, #16]", "vmladav.s8 r0, q0, q0", "vmladav.s8 r2, q1, q1"]
    assert ordered(code) == [code[0], code[2], code[1], code[3]]
