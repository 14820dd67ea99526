"""A Zephyr application: the model, a copy of our Zephyr module, and a thread that runs the self-test once."""

from __future__ import annotations

from pathlib import Path

from tvm_tinyml.resources import data_dir

from . import example
from .generated import Generated

MODEL = "model"
MODULE = "tvm-tinyml"
OWN_STACK_BYTES = 512
"""Stack of the thread beside that of the inference."""


def zephyr_project(model: Generated) -> dict[str, str]:
    """An application for every board that has the model's instructions."""
    return application(model, _main(model)) | {"sample.yaml": _test_case(model)}


def application(model: Generated, main: str, settings: str = "") -> dict[str, str]:
    """An application with this src/main.c; `settings` are further lines of prj.conf."""
    return {
        "CMakeLists.txt": _lists(model),
        "Kconfig": _kconfig(model),
        "prj.conf": _settings(model) + settings,
        "src/main.c": main,
        **model.below(MODEL),
        **_module(),
        **(_functional_model() if model.calls_npu else {}),
    }


def _lists(model: Generated) -> str:
    return f"""# {model.name} for {model.config}: a Zephyr application that runs the model once.
#
#     west build -b <board> . -t run
#
# or, without west and with ZEPHYR_BASE set:
#
#     cmake -B build -DBOARD=<board>
#     cmake --build build --target run
#
# In an application of your own: list {MODULE} in ZEPHYR_EXTRA_MODULES, set CONFIG_TVM_TINYML=y, and call
# tvm_tinyml_add_model(app <folder of the model>).
cmake_minimum_required(VERSION 3.20.0)

list(APPEND ZEPHYR_EXTRA_MODULES ${{CMAKE_CURRENT_LIST_DIR}}/{MODULE})
find_package(Zephyr REQUIRED HINTS $ENV{{ZEPHYR_BASE}})
project({model.name}_zephyr C)

tvm_tinyml_add_model(app {MODEL})
target_sources(app PRIVATE src/main.c)
"""


def _kconfig(model: Generated) -> str:
    stack = model.metadata["memory"]["stack_bytes"]
    return (
        f"# What {model.name} needs of an application.\n\n"
        f"config TVM_TINYML_STACK_SIZE\n"
        f"\tdefault {stack} if !TVM_TINYML_ETHOS_U_FUNCTIONAL_MODEL\n\n"
        "# An overflow of a stack is to be seen: at once where the core can, else when threads switch.\n"
        "config HW_STACK_PROTECTION\n\tdefault y if ARCH_HAS_STACK_PROTECTION\n\n"
        "config STACK_SENTINEL\n"
        "\tdefault y if !MPU_STACK_GUARD && !BUILTIN_STACK_GUARD && !PMP_STACK_GUARD && !USERSPACE\n\n"
        'source "Kconfig.zephyr"\n'
    )


def _settings(model: Generated) -> str:
    base = not {"dsp", "mve", "rvv"} & model.config.core.features
    # Otherwise a core that has vectors would switch on the registers for them.
    npu = "CONFIG_TVM_TINYML_ETHOS_U=y\n" if model.calls_npu else ""
    # Without a log Zephyr halts at a fault and says nothing.
    faults = "CONFIG_LOG=y\nCONFIG_LOG_MODE_MINIMAL=y\n"
    return "CONFIG_TVM_TINYML=y\n" + ("CONFIG_TVM_TINYML_ISA_BASE=y\n" if base else "") + npu + faults


def _test_case(model: Generated) -> str:
    # No filter by Kconfig: twister evaluates those without the modules that CMakeLists.txt adds. 3.4 says riscv32.
    architectures = {"arm": "arm", "riscv": "riscv32 riscv"}.get(model.config.core.family)
    where = f"    arch_allow: {architectures}\n" if architectures else ""
    return (
        f"sample:\n  name: {model.name}\ntests:\n  tvm_tinyml.{model.name}:\n    tags: tvm_tinyml\n{where}"
        "    harness: console\n    harness_config:\n      type: one_line\n      regex:\n"
        f'        - "{model.name}: passed"\n'
    )


def _module() -> dict[str, str]:
    root = data_dir("runtime_c") / "zephyr"
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    own = [path for path in paths if path.relative_to(root).parts[0] != "samples"]
    return {f"{MODULE}/{_below(path, root)}": path.read_text(encoding="utf-8") for path in own}


def _functional_model() -> dict[str, str]:
    paths = sorted((data_dir("runtime_c") / "ethosu").iterdir())
    return {f"{MODULE}/ethosu/{path.name}": path.read_text(encoding="utf-8") for path in paths}


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def arena(model: Generated) -> str:
    """Definition of the arena where Kconfig puts it."""
    return f"TVM_TINYML_ARENA_DEFINE(arena, {model.upper}_ARENA_BYTES);"


INCLUDES = """#include <stdint.h>
#include <string.h>

#include <tvm_tinyml/arena.h>
#include <zephyr/kernel.h>
#include <zephyr/sys/printk.h>
"""


def thread(body: str, stack_bytes: int) -> str:
    """A thread with the stack of an inference and `stack_bytes` more; `body` sets `result`."""
    return f"""K_THREAD_STACK_DEFINE(stack, CONFIG_TVM_TINYML_STACK_SIZE + {stack_bytes});
static struct k_thread thread;
static int result;

static void infer(void *first, void *second, void *third)
{{
    ARG_UNUSED(first);
    ARG_UNUSED(second);
    ARG_UNUSED(third);
    {body}
}}

static void run_thread(void)
{{
    k_thread_create(&thread, stack, K_THREAD_STACK_SIZEOF(stack), infer, NULL, NULL, NULL, 0, 0, K_NO_WAIT);
    k_thread_join(&thread, K_FOREVER);
}}
"""


def _main(model: Generated) -> str:
    edges = "\n".join([arena(model), *example.edges(model, example.NO_PIXELS)])
    return (
        f"/* Runs {model.name} once, in a thread of its own. It passes when\n * {example.checked(model)}, does. */\n"
        f"{INCLUDES}\n{example.includes(model)}\n\n{edges}\n"
        f"{thread(f'result = {example.check(model)};', OWN_STACK_BYTES)}\n"
        "int main(void)\n{\n    run_thread();\n"
        f'    printk("%s on %s\\n", {model.name}_version, CONFIG_BOARD);\n'
        f'    printk("{model.name}: %s\\n", result == 0 ? "passed" : "failed");\n    return 0;\n}}\n'
    )
