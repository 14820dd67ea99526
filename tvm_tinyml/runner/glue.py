"""harness_model.h: tells the C harness (runtime_c/boards/common/harness.c) which model it runs.

With io=arena every tensor lies in the arena and the entry function takes the arena alone; with io=caller the
harness keeps the tensors in one buffer of its own and passes their addresses after the arena's.
"""

from __future__ import annotations

from tvm_tinyml.runner.project import Project

BOARD_REGISTER_ARGUMENTS = 8
"""Words the call trampolines always load: BOARD_REGISTER_ARGUMENTS of board.h."""


def caller_offsets(project: Project) -> tuple[list[int], int]:
    """Return the offset of each tensor in one buffer for io=caller, aligned as the arena, and its size."""
    offsets = []
    size = 0
    for tensor in project.tensors:
        offsets.append(size)
        size += -(-tensor.nbytes // project.arena_alignment) * project.arena_alignment
    return offsets, size


def harness_header(project: Project) -> str:
    """Return the text of harness_model.h for `project`."""
    if project.io == "arena":
        places = [f"arena + {tensor.offset}" for tensor in project.tensors]
        arguments = ["arena"]
        buffer_bytes = 0
    else:
        offsets, buffer_bytes = caller_offsets(project)
        places = [f"tensor_data + {offset}" for offset in offsets]
        arguments = ["arena", *places]
    rows = [f"{{{place}, {tensor.nbytes}u}}" for place, tensor in zip(places, project.tensors, strict=True)]
    inputs, outputs = rows[: len(project.inputs)], rows[len(project.inputs) :]
    padding = ["0"] * (BOARD_REGISTER_ARGUMENTS - len(arguments))
    macros = {
        "MODEL_ENTRY": project.entry,
        "MODEL_ARENA_BYTES": str(max(project.arena_bytes, 1)),
        "MODEL_ARENA_ALIGNMENT": str(project.arena_alignment),
        "MODEL_TENSOR_BYTES": str(buffer_bytes),
        "MODEL_INPUTS": f"{{{', '.join(inputs)}}}",
        "MODEL_OUTPUTS": f"{{{', '.join(outputs)}}}",
        "MODEL_ARGUMENTS": f"{{{', '.join([*arguments, *padding])}}}",
        "MODEL_ARGUMENT_COUNT": str(len(arguments)),
    }
    lines = ["/* Generated from metadata.json. */", f'#include "{project.model}.h"', ""]
    lines += [f"#define {name} {value}" for name, value in macros.items()]
    return "\n".join(lines) + "\n"
