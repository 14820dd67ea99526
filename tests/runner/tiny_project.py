"""Hand-written stand-ins for generated projects, small enough to know every figure of.

`write_project` writes C: three layers on eight int8 values, io=arena or io=caller; layer 0 doubles its input,
layer 1 adds 0 .. 7 after C code a test may insert, layer 2 is a second call of layer 0's function.
`write_assembly_project` writes assembly: a copy of the input; instructions and stack are counted by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

VALUES = 8
Int8Array = np.ndarray[Any, np.dtype[np.int8]]

_SOURCE = """
#include "tiny.h"

static const int8_t offset[{values}] = {{0, 1, 2, 3, 4, 5, 6, 7}};

void tiny_double(const int8_t *input, int8_t *output);
void tiny_shift(const int8_t *input, int8_t *output);

__attribute__((noinline)) void tiny_double(const int8_t *input, int8_t *output) {{
    for (int i = 0; i < {values}; ++i) output[i] = (int8_t)(2 * input[i]);
}}

__attribute__((noinline)) void tiny_shift(const int8_t *input, int8_t *output) {{
    {inserted}
    for (int i = 0; i < {values}; ++i) output[i] = (int8_t)(input[i] + offset[i]);
}}

{signature} {{
    int8_t *memory = (int8_t *)arena;
    tiny_double({input}, memory + 16);
    tiny_shift(memory + 16, memory + 32);
    tiny_double(memory + 32, {output});
    return {result};
}}
"""

_SIGNATURES = {
    "arena": "int tiny_run(void *arena)",
    "caller": "int tiny_run(void *arena, const int8_t *input_0, int8_t *output_0)",
}


def write_project(
    folder: Path, io: str = "arena", *, inserted: str = "", result: int = 0, arena_bytes: int = 64
) -> Path:
    """Write the C project into `folder` and return it; `inserted` is C at the start of layer 1."""
    in_arena = io == "arena"
    source = _SOURCE.format(
        values=VALUES,
        inserted=inserted,
        signature=_SIGNATURES[io],
        input="memory" if in_arena else "input_0",
        output="memory + 48" if in_arena else "output_0",
        result=result,
    )
    _write(folder, source, f"#include <stdint.h>\n{_SIGNATURES[io]};\n")
    _write_metadata(
        folder,
        io,
        ["tiny_double", "tiny_shift", "tiny_double"],
        arena_bytes,
        inputs=[_tensor("image", 0 if in_arena else None)],
        outputs=[_tensor("scores", 48 if in_arena else None)],
    )
    return folder


def some_inputs(count: int) -> list[list[Int8Array]]:
    """Return the inputs of `count` inferences, different from each other."""
    return [[np.arange(VALUES, dtype=np.int8).reshape(1, VALUES) - 3 * index] for index in range(count)]


def expected_output(value: Int8Array) -> Int8Array:
    """Return what the C project computes of one input."""
    return (2 * (2 * value + np.arange(VALUES, dtype=np.int8))).astype(np.int8)


# The first instruction of hand_count is also its loop head, which must not be taken for a hundred layers.
_ASSEMBLY = {
    "arm": """
        .syntax unified
        .thumb
        .text
        .macro function name
        .global \\name
        .type \\name, %function
        .thumb_func
\\name:
        .endm
        function hand_run
        push    {r4, lr}
        mov     r4, r0
        movs    r3, #100
        bl      hand_count
        mov     r0, r4
        bl      hand_copy
        movs    r0, #0
        pop     {r4, pc}
        .size   hand_run, . - hand_run
        function hand_count
1:      subs    r3, #1
        bne     1b
        bx      lr
        .size   hand_count, . - hand_count
        function hand_copy
        sub     sp, #24
        str     r3, [sp]
        ldr     r1, [r0, #0]
        str     r1, [r0, #48]
        ldr     r1, [r0, #4]
        str     r1, [r0, #52]
        add     sp, #24
        bx      lr
        .size   hand_copy, . - hand_copy
""",
    "riscv": """
        .text
        .macro function name
        .global \\name
        .type \\name, @function
\\name:
        .endm
        function hand_run
        addi    sp, sp, -16
        sw      ra, 12(sp)
        sw      s0, 8(sp)
        mv      s0, a0
        li      a5, 100
        jal     ra, hand_count
        mv      a0, s0
        jal     ra, hand_copy
        li      a0, 0
        lw      s0, 8(sp)
        lw      ra, 12(sp)
        addi    sp, sp, 16
        ret
        .size   hand_run, . - hand_run
        function hand_count
1:      addi    a5, a5, -1
        bnez    a5, 1b
        ret
        .size   hand_count, . - hand_count
        function hand_copy
        addi    sp, sp, -16
        sw      a5, 0(sp)
        lw      a1, 0(a0)
        sw      a1, 48(a0)
        lw      a1, 4(a0)
        sw      a1, 52(a0)
        addi    sp, sp, 16
        ret
        .size   hand_copy, . - hand_copy
""",
}

HAND_COUNTS = {"arm": (4, [200 + 1 + 2, 8 + 2]), "riscv": (6, [200 + 1 + 2, 8 + 5])}
"""Instructions before the first layer and of each layer, with the entry function's way to what follows."""

HAND_STACK_BYTES = {"arm": 8 + 24, "riscv": 16 + 16}


def write_assembly_project(folder: Path, family: str) -> Path:
    """Write the assembly project for `family` into `folder` and return it."""
    lines = (json.dumps(f"{line}\n") for line in _ASSEMBLY[family].splitlines())
    source = f'#include "hand.h"\n__asm__({" ".join(lines)});\n'
    _write(folder, source, "int hand_run(void *arena);\n", model="hand")
    _write_metadata(
        folder,
        "arena",
        ["hand_count", "hand_copy"],
        64,
        inputs=[_tensor("image", 0)],
        outputs=[_tensor("scores", 48)],
        model="hand",
    )
    return folder


_MANY_INPUTS = 10


def write_many_inputs_project(folder: Path) -> Path:
    """Write a project with ten caller inputs, more than registers hold; it outputs a value of each."""
    parameters = ", ".join(f"const int8_t *input_{i}" for i in range(_MANY_INPUTS))
    signature = f"int many_run(void *arena, {parameters}, int8_t *output_0)"
    assignments = "\n".join(f"    output_0[{i}] = input_{i}[{i % VALUES}];" for i in range(_MANY_INPUTS))
    _write(
        folder,
        f'#include "many.h"\n{signature} {{\n    (void)arena;\n{assignments}\n    return 0;\n}}\n',
        f"#include <stdint.h>\n{signature};\n",
        model="many",
    )
    inputs = [_tensor(f"input {i}", None) for i in range(_MANY_INPUTS)]
    output = {**_tensor("picked", None), "shape": [_MANY_INPUTS], "bytes": _MANY_INPUTS}
    _write_metadata(folder, "caller", [], 0, inputs=inputs, outputs=[output], model="many")
    return folder


def _tensor(name: str, offset: int | None) -> dict[str, Any]:
    return {"name": name, "dtype": "int8", "shape": [1, VALUES], "bytes": VALUES, "offset": offset}


def _write(folder: Path, source: str, header: str, model: str = "tiny") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{model}.c").write_text(source)
    (folder / f"{model}.h").write_text(header)


def _write_metadata(
    folder: Path,
    io: str,
    functions: list[str],
    arena_bytes: int,
    *,
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    model: str = "tiny",
) -> None:
    metadata = {
        "format": 1,
        "model": model,
        "io": io,
        "entry": f"{model}_run",
        "sources": [f"{model}.c"],
        "include_dirs": [],
        "arena_bytes": arena_bytes,
        "arena_alignment": 16,
        "inputs": inputs,
        "outputs": outputs,
        "layers": [
            {"index": index, "name": f"layer_{index}", "function": function, "macs": VALUES}
            for index, function in enumerate(functions)
        ],
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))
