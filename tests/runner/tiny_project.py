"""A hand-written stand-in for a generated project: three layers on eight int8 values, io=arena or io=caller.

Layer 0 doubles its input, layer 1 executes a loop whose instructions can be counted by hand, layer 2 is a
second call of layer 0's function. The output is four times the input plus two bytes the tests choose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

VALUES = 8
LOOP_TURNS = 100
LOOP_INSTRUCTIONS = 1 + 2 * LOOP_TURNS
"""One move, then a subtraction and a branch per turn."""

_COUNTED_LOOP = """
#if defined(__arm__)
    __asm__ volatile(".syntax unified\\n\\tmovs r3, #100\\n1:\\tsubs r3, #1\\n\\tbne 1b" ::: "r3", "cc");
#elif defined(__riscv)
    __asm__ volatile("li a5, 100\\n1:\\taddi a5, a5, -1\\n\\tbnez a5, 1b" ::: "a5");
#endif
"""

_SOURCE = """
#include "tiny.h"

static const int8_t offset[{values}] = {{0, 1, 2, 3, 4, 5, 6, 7}};

void tiny_double(const int8_t *input, int8_t *output);
void tiny_loop(const int8_t *input, int8_t *output);

__attribute__((noinline)) void tiny_double(const int8_t *input, int8_t *output) {{
    for (int i = 0; i < {values}; ++i) output[i] = (int8_t)(2 * input[i]);
}}

__attribute__((noinline)) void tiny_loop(const int8_t *input, int8_t *output) {{
    {loop_body}
    for (int i = 0; i < {values}; ++i) output[i] = (int8_t)(input[i] + offset[i]);
}}

{signature} {{
    int8_t *memory = (int8_t *)arena;
    tiny_double({input}, memory + 16);
    tiny_loop(memory + 16, memory + 32);
    tiny_double(memory + 32, {output});
    return {result};
}}
"""

SIGNATURES = {
    "arena": "int tiny_run(void *arena)",
    "caller": "int tiny_run(void *arena, const int8_t *input_0, int8_t *output_0)",
}


def write_project(
    folder: Path, io: str = "arena", *, loop_body: str = _COUNTED_LOOP, result: int = 0, arena_bytes: int = 64
) -> Path:
    """Write the project into `folder` and return it; `loop_body` is C at the start of layer 1."""
    folder.mkdir(parents=True, exist_ok=True)
    in_arena = io == "arena"
    (folder / "tiny.h").write_text(f"#include <stdint.h>\n{SIGNATURES[io]};\n")
    (folder / "tiny.c").write_text(
        _SOURCE.format(
            values=VALUES,
            loop_body=loop_body,
            signature=SIGNATURES[io],
            input="memory" if in_arena else "input_0",
            output="memory + 48" if in_arena else "output_0",
            result=result,
        )
    )
    metadata = {
        "format": 1,
        "model": "tiny",
        "io": io,
        "entry": "tiny_run",
        "sources": ["tiny.c"],
        "include_dirs": [],
        "arena_bytes": arena_bytes,
        "arena_alignment": 16,
        "inputs": [_tensor("image", 0 if in_arena else None)],
        "outputs": [_tensor("scores", 48 if in_arena else None)],
        "layers": [
            {"index": 0, "name": "double_0", "function": "tiny_double", "macs": VALUES},
            {"index": 1, "name": "loop_1", "function": "tiny_loop", "macs": 0},
            {"index": 2, "name": "double_2", "function": "tiny_double", "macs": VALUES},
        ],
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


def _tensor(name: str, offset: int | None) -> dict[str, Any]:
    return {"name": name, "dtype": "int8", "shape": [1, VALUES], "bytes": VALUES, "offset": offset}


def some_inputs(count: int) -> list[list[np.ndarray[Any, np.dtype[np.int8]]]]:
    """Return the inputs of `count` inferences, different from each other."""
    return [[np.arange(VALUES, dtype=np.int8).reshape(1, VALUES) - 3 * index] for index in range(count)]


def expected_output(value: np.ndarray[Any, np.dtype[np.int8]]) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Return what the project computes of one input."""
    return (2 * (2 * value + np.arange(VALUES, dtype=np.int8))).astype(np.int8)
