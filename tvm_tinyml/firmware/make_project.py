"""A project for make: the model's library, and a program that runs it once, in QEMU where the board is emulated."""

from __future__ import annotations

import shlex

from tvm_tinyml.runner.build import NPU_FLAGS, board_flags

from . import example
from .board import board_files, emulator_command, npu_files, sources
from .generated import Generated
from .host_example import main_source
from .toolchain import LINK_FLAGS

MODEL = "model"


def make_project(model: Generated) -> dict[str, str]:
    """Makefile, main.c, the model in a folder of its own, and start-up code where the board is emulated."""
    return {
        "Makefile": _makefile(model),
        "main.c": main_source(model),
        **model.below(MODEL),
        **board_files(model),
        **npu_files(model),
    }


def _makefile(model: Generated) -> str:
    config = model.config
    hosted = config.core.family == "host"
    library = f"{MODEL}/lib{model.name}.a"
    runs = model.runs_here
    program = "example" if hosted else "example.elf"
    goal = program if runs else "main.o"
    usage = [
        f"{model.name} for {config}: the model's library and an example that runs it once.",
        "",
        f"    make        builds {library} and {goal}",
        *(["    make run    runs the example; fails when the model does"] if runs else []),
        "    make clean",
        "",
        f"In a project of your own: link {library} and compile with -I{MODEL} -I{MODEL}/include.",
        *([] if runs else [f"Link main.o with {example.missing(model)}."]),
    ]
    head = "\n".join(f"# {line}".rstrip() for line in usage)
    board, npu = (
        [f"{path.rsplit('.', 1)[0]}.o" for path in sources(one)]
        for one in (board_files(model), npu_files(model))
    )
    objects = ["main.o", *board, *npu]
    linker = " ".join(config.linker_command())
    rules = [f"all: {goal}"]
    if runs:
        script = "" if hosted else f" {' '.join(LINK_FLAGS)}"
        rules.append(f"{program}: {' '.join(objects)} {library}\n\t{linker}{script} $^ -o $@")
        command = f"./{program}" if hosted else emulator_command(config, program)
        rules.append(f"run: {program}\n\t{command}")
    else:
        rules[0] += f" {library}"
    rules.append(f"{library}: FORCE\n\t$(MAKE) -C {MODEL}")
    for special, flags in ((board, board_flags(config)), (npu, NPU_FLAGS)):
        if special:
            rules.append(f"{' '.join(special)}: ARCH_FLAGS += {shlex.join(flags)}")
    rules += [
        f"%.o: %.c\n\t$(CC) $(ARCH_FLAGS) $(CFLAGS) -I{MODEL} -I{MODEL}/include -c $< -o $@",
        "%.o: %.S\n\t$(CC) $(ARCH_FLAGS) -c $< -o $@",
        f"clean:\n\t$(MAKE) -C {MODEL} clean\n\trm -f {program} {' '.join(objects)}",
        "FORCE:",
        ".PHONY: all clean run FORCE",
    ]
    compiler, *arch = config.compiler_command()
    variables = f"CC = {compiler}\nARCH_FLAGS = {' '.join(arch)}\nCFLAGS = -std=c11 -Wall -Wextra"
    return "\n\n".join([head, variables, *rules]) + "\n"
