"""Exact instruction counts: the QEMU plugin, the markers it is given and the snapshots it returns.

The plugin (runtime_c/qemu/counting_plugin.c) is compiled with the host's C compiler on first use and kept in
the user's cache folder under a name made of its content.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from pathlib import Path

from tvm_tinyml.errors import RunError
from tvm_tinyml.resources import data_dir
from tvm_tinyml.runner.elf import SymbolTable
from tvm_tinyml.runner.project import Project
from tvm_tinyml.runner.report import LayerCount
from tvm_tinyml.runner.tools import run_tool

_RETURN_LABEL = "board_model_returned"
_FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden")


def counting_plugin() -> Path:
    """Return the compiled plugin, compiling it when the cache has none for this source and machine.

    BuildError when there is no C compiler. Several processes may ask at once: each writes a file of its own
    and renames it.
    """
    source = data_dir("runtime_c") / "qemu" / "counting_plugin.c"
    identity = "\0".join([source.read_text(encoding="utf-8"), " ".join(_FLAGS), platform.machine()])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tvm-tinyml"
    plugin = cache / f"qemu-counting-{digest}.so"
    if not plugin.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            built = Path(folder) / plugin.name
            run_tool(
                ["cc", *_FLAGS, "-o", built.name, str(source)], Path(folder), "compiling the QEMU plugin"
            )
            built.replace(plugin)
    return plugin


def markers(project: Project, symbols: SymbolTable) -> str:
    """Return the plugin's marker file: start and return of the entry function, bodies of callers, starts of layers."""
    entry = symbols.find(project.entry)
    lines = [f"entry {entry.address:x}", f"return {symbols.find(_RETURN_LABEL).address:x}"]
    for caller in project.callers:
        for body in symbols.variants(caller):
            lines.append(f"body {body.address:x} {body.address + body.size:x}")
    layers = {
        symbol.address
        for layer in project.layers
        for symbol in symbols.variants(layer.function) or [symbols.find(layer.function)]
    }
    lines += [f"layer {address:x}" for address in sorted(layers)]
    return "\n".join(lines) + "\n"


def read_snapshots(text: str, project: Project) -> tuple[int, tuple[LayerCount, ...]]:
    """Return the instructions of the first inference and of each of its layers.

    `text` is the plugin's snapshot file. A call lasts from its function's first instruction to that of
    the next call of a layer, the last one to the entry function's return, so that the layers and the instructions
    before the first of them add up to the total. RunError when the number of calls seen is not that of
    the metadata.
    """
    snapshots = [line.split() for line in text.splitlines()]
    kinds = [snapshot[0] for snapshot in snapshots]
    if "entry" not in kinds or "return" not in kinds:
        raise RunError("the counting plugin saw no complete inference; the entry function was not called")
    counts = [int(snapshot[2]) for snapshot in snapshots]
    first, last = kinds.index("entry"), kinds.index("return")
    starts = [counts[index] for index in range(first, last) if kinds[index] == "layer"]
    if len(starts) != len(project.calls):
        raise RunError(
            f"{len(starts)} layer calls were executed and the metadata lists {len(project.calls)}; "
            "layer functions must have external linkage and not be inlined: compile the model again"
        )
    executed = [0] * len(project.layers)
    for number, start, end in zip(project.calls, starts, [*starts, counts[last]][1:], strict=True):
        executed[number] += end - start
    return counts[last] - counts[first], tuple(
        LayerCount(layer.name, layer.function, count)
        for layer, count in zip(project.layers, executed, strict=True)
    )


def read_address_counts(text: str) -> dict[int, int]:
    """Return how often the instruction at each address was executed, from the plugin's counts file."""
    pairs = (line.split() for line in text.splitlines())
    return {int(address, 16): int(count) for address, count in pairs}
