"""Runs operators as C: plainly scheduled TensorIR, printed by the code generator, under the address and
undefined-behaviour sanitizers, in a process of its own.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import s_tir

from tests.dialect.operator_calls import Call
from tests.dialect.te_execution import prim_func, specs_of
from tvm_tinyml.codegen.tensorir import LoweredFunction, lower_function, print_function
from tvm_tinyml.dialect import operator
from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.resources import data_dir
from tvm_tinyml.schedules.plain import schedule_blocks

FLAGS = (
    "-std=c99",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Werror",
    # Where limits leave one value, or windows no pixel, results do not depend on inputs.
    "-Wno-unused-parameter",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)


def run_c(calls: Sequence[Call], folder: Path) -> list[Array]:
    """Outputs of the calls' C functions; they are built into one program under `folder`.

    Fails the test when the program does not compile without warnings or a sanitizer stops it.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    functions = [_lowered(f"operator_{index}", call) for index, call in enumerate(calls)]
    outputs = [operator(call.name).infer(specs_of(call.arrays), call.attrs) for call in calls]
    (folder / "inputs.bin").write_bytes(b"".join(a.tobytes() for call in calls for a in call.arrays))
    source = folder / "program.c"
    statements = [
        _call(function, [array.nbytes for array in call.arrays], output.nbytes)
        for function, call, output in zip(functions, calls, outputs, strict=True)
    ]
    printed = [print_function(function) for function in functions]
    functions_text = "\n".join(f"static {f.signature}\n{f.body}" for f in printed)
    source.write_text(_PROGRAM.format(functions=functions_text, calls="\n".join(statements)))
    program = folder / "program"
    include = f"-I{data_dir('runtime_c') / 'include'}"
    _run([compiler, *FLAGS, include, str(source), "-o", str(program)], folder)
    content = _run([str(program)], folder)
    results, position = [], 0
    for output in outputs:
        array = np.frombuffer(content, output.dtype, output.elements, offset=position)
        results.append(array.reshape(output.shape))
        position += output.nbytes
    return results


def _lowered(symbol: str, call: Call) -> LoweredFunction:
    schedule = s_tir.Schedule(prim_func(call.name, call.arrays, call.attrs))
    schedule_blocks(schedule)
    return lower_function(symbol, schedule.mod["main"], tvm.target.Target({"kind": "c"}))


_PROGRAM = """\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tinyml_fixed_point.h"

{functions}

static void *take(FILE *file, size_t size)
{{
    void *data = malloc(size);
    if (fread(data, 1, size, file) != size) {{
        abort();
    }}
    return data;
}}

int main(void)
{{
    FILE *file = fopen("inputs.bin", "rb");
{calls}
    fclose(file);
    return 0;
}}
"""


def _call(function: LoweredFunction, inputs: Sequence[int], output: int) -> str:
    names = [f"input_{index}" for index in range(len(inputs))]
    lines = [f"void *{name} = take(file, {size});" for name, size in zip(names, inputs, strict=True)]
    written = {"output": output} | {f"scratch_{s.name}": s.nbytes for s in function.scratch}
    lines.extend(f"void *{name} = malloc({size});" for name, size in written.items())
    lines.append(f"{function.symbol}({', '.join([*names, *written])});")
    lines.append(f"fwrite(output, 1, {output}, stdout);")
    lines.extend(f"free({name});" for name in [*names, *written])
    return "    {\n" + "\n".join(f"        {line}" for line in lines) + "\n    }"


def _run(command: Sequence[str], folder: Path) -> bytes:
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    if done.returncode:
        raise AssertionError(f"{command[0]} failed:\n{done.stderr.decode(errors='replace')[:4000]}")
    return done.stdout
