"""A Zephyr application that runs a model on given inputs and prints its outputs, for the runner to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import example
from .generated import Generated
from .zephyr_project import INCLUDES, application, arena, thread

Array = np.ndarray[Any, np.dtype[Any]]

_MEASURED_STACK_BYTES = 4096
"""Room of the thread beyond what is reserved, so that what it takes can be measured."""

_PER_LINE = 24
_SETTINGS = "CONFIG_INIT_STACKS=y\nCONFIG_THREAD_STACK_INFO=y\n"

_SUPPLY = """    const uint8_t *image = inputs[inference][@];
    const int32_t row_bytes = MODEL_@_ROW_BYTES, pixel_bytes = MODEL_@_PIXEL_BYTES;
    ARG_UNUSED(context);
    for (int32_t i = 0; i < rows; i++) {
        memcpy((uint8_t *)destination + i * pitch, image + (row + i) * row_bytes + column * pixel_bytes,
               (size_t)(columns * pixel_bytes));
    }
    return 0;"""

_PRINT = """static void print_bytes(int output, const void *memory, uint32_t size)
{
    const uint8_t *bytes = (const uint8_t *)memory;
    for (uint32_t i = 0; i < size; i++) {
        if (i % 32 == 0) {
            printk("%stvm-tinyml: output %d ", i == 0 ? "" : "\\n", output);
        }
        printk("%02x", bytes[i]);
    }
    printk("\\n");
}
"""


def zephyr_run_project(model: Generated, batches: Sequence[Sequence[Array]]) -> dict[str, str]:
    """The application; `batches` are the inputs of each inference, of the model's types and shapes."""
    return application(model, _main(model, batches), _SETTINGS) | {"src/inputs.h": _inputs(batches)}


def _inputs(batches: Sequence[Sequence[Array]]) -> str:
    lines = ["/* Inputs of every inference as bytes. */"]
    for number, arrays in enumerate(batches):
        for index, array in enumerate(arrays):
            values = [str(one) for one in np.ascontiguousarray(array).tobytes()]
            rows = (",".join(values[start : start + _PER_LINE]) for start in range(0, len(values), _PER_LINE))
            lines.append(
                f"static const uint8_t input_{number}_{index}[] = {{\n{chr(10).join(f'{row},' for row in rows)}\n}};"
            )
    tables = (
        f"{{{', '.join(f'input_{number}_{index}' for index, _ in enumerate(arrays))}}}"
        for number, arrays in enumerate(batches)
    )
    most = max(len(arrays) for arrays in batches)
    lines.append(f"static const uint8_t *const inputs[][{most}] = {{{', '.join(tables)}}};")
    return "\n".join(lines) + "\n"


def _main(model: Generated, batches: Sequence[Sequence[Array]]) -> str:
    places = [
        f"    memcpy({_place(model, kind, index)}, inputs[inference][{index}], {_size(model, kind, index)});"
        for kind, index, tensor in example.numbered(model)
        if kind == "input" and not tensor.get("pulled")
    ]
    prints = [
        f"        print_bytes({index}, {_place(model, kind, index)}, {_size(model, kind, index)});"
        for kind, index, _ in example.numbered(model)
        if kind == "output"
    ]
    sizes = [
        f"#define MODEL_{index}_PIXEL_BYTES ((int32_t)({tensor['bytes'] // (rows * columns)}))\n"
        f"#define MODEL_{index}_ROW_BYTES ({columns} * MODEL_{index}_PIXEL_BYTES)"
        for kind, index, tensor in example.numbered(model)
        if kind == "input" and tensor.get("pulled")
        for _, rows, columns, _ in [tensor["shape"]]
    ]
    run = "\n".join([*places, f"    result = {model.name}_run({example.arguments(model)});"]).strip()
    memory = "\n".join([*sizes, arena(model), *example.edges(model, _SUPPLY)])
    return f"""/* Runs {model.name} on given inputs and prints what comes out. */
{INCLUDES}
{example.includes(model)}
#include "inputs.h"

static uint32_t inference;
{memory}
{thread(run, _MEASURED_STACK_BYTES)}
{_PRINT}
int main(void)
{{
    for (inference = 0; inference < ARRAY_SIZE(inputs); inference++) {{
        size_t unused = 0;
        run_thread();
        if (result != 0) {{
            break;
        }}
        k_thread_stack_space_get(&thread, &unused);
        printk("tvm-tinyml: inference %d\\n", (int)(K_THREAD_STACK_SIZEOF(stack) - unused));
{chr(10).join(prints)}
    }}
    printk("tvm-tinyml: end %d\\n", result);
    return 0;
}}
"""


def _place(model: Generated, kind: str, index: int) -> str:
    """C expression of the address of an input or output."""
    if model.metadata["io"] == "caller":
        return f"{kind}_{index}"
    return f"arena + {model.upper}_{kind.upper()}_{index}_OFFSET"


def _size(model: Generated, kind: str, index: int) -> str:
    return f"{model.upper}_{kind.upper()}_{index}_BYTES"
