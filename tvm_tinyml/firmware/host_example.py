"""main.c of the projects for make and CMake: on a host it says what it found, on a board it returns it."""

from __future__ import annotations

from . import example
from .board import ARENA_SECTION
from .generated import Generated


def main_source(model: Generated) -> str:
    """A program whose exit code is 0 when the model did what it should."""
    hosted = model.config.core.family == "host"
    section = ARENA_SECTION if model.runs_here and not hosted else None
    standard = "#include <stdint.h>\n#include <stdio.h>\n" if hosted else "#include <stdint.h>\n"
    said = (
        f'    printf("%s: %s\\n", {model.name}_version, result == 0 ? "passed" : "failed");\n'
        if hosted
        else ""
    )
    return (
        f"/* Runs {model.name} once. Returns 0 when it passes\n * {example.checked(model)}. */\n"
        f"{standard}\n{example.includes(model)}\n\n{example.memory(model, section)}\n\n"
        f"int main(void)\n{{\n    const int result = {example.check(model)};\n{said}    return result;\n}}\n"
    )
