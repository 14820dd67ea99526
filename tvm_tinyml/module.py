"""AOTModule: what `relay.build` returns. It runs the compiled model, reports on it and exports it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .choose import Count
from .codegen import (
    LoweredModel,
    has_selftest,
    project_files,
    selftest_inputs,
    write_folder,
    write_model_library,
)
from .dialect.evaluate import evaluate
from .dialect.relax_api import Array
from .errors import BuildError, RunError
from .firmware import Generated, project_layout, project_marker, zephyr_run_project
from .memory import MemoryPlan
from .patch import PatchPlan
from .pipeline import Compiled, compile_module
from .runner.host import HostModel
from .runner.project import load_project
from .runner.qemu import run_qemu
from .runner.report import RunReport
from .runner.tools import require_program
from .runner.zephyr import require_zephyr, run_zephyr, zephyr_board
from .target import TargetConfig, parse_target
from .target.config import STACK_BYTES
from .transform import ApplyRounding

Inputs = Sequence[Array] | Mapping[str, Array] | Array


@dataclass(frozen=True)
class RunResult:
    """Outputs of one inference in the model's order, and what was measured.

    Unpacks as `outputs, report = module.run(...)`.
    """

    outputs: list[Array]
    report: RunReport

    def __iter__(self) -> Iterator[Any]:
        return iter((self.outputs, self.report))


class AOTModule:
    """A model compiled ahead of time for one target."""

    def __init__(
        self,
        relax_module: Any,
        config: TargetConfig,
        patch: PatchPlan | None = None,
        compiled: Compiled | None = None,
        *,
        measure: bool = False,
    ) -> None:
        """Compile a module in the dialect, unless `compiled` is the result for a target of equal `code_key`.

        measure: choose schedules by running all candidates on the target's emulated board. BuildError or RunError when
            a program for that is missing, or the board is not emulated.
        """
        count = _counter(config) if measure and compiled is None else None
        self.relax_module = relax_module
        self.config = config
        self.patch = patch
        self.compiled: Compiled = compiled or compile_module(relax_module, config, patch=patch, count=count)

    @property
    def name(self) -> str:
        """The model's name: prefix of its C functions and files."""
        return self.compiled.model.name

    @cached_property
    def files(self) -> dict[str, str]:
        """The generated project, text by path relative to its folder."""
        return self._files(None)

    def _files(self, selftest: Sequence[Array] | None) -> dict[str, str]:
        compiled = self.compiled
        return project_files(compiled.model, compiled.plan, self.config, compiled.history, selftest)

    @property
    def metadata(self) -> dict[str, Any]:
        """The project's metadata.json: sizes, quantisation, layers, memory plan."""
        described: dict[str, Any] = json.loads(self.files["metadata.json"])
        return described

    def export_folder(self, destination: str | Path, *, force: bool = False, selftest: bool = False) -> Path:
        """Write the project folder.

        selftest: with a function that checks the constants and one inference, against the dialect's own semantics.
        Raises OutputExistsError when the folder exists and `force` is false, PlanError where a self-test is impossible.
        """
        files = self._files(self._selftest_outputs()) if selftest else self.files
        write_folder(files, Path(destination), force=force)
        return Path(destination)

    def export_project(self, destination: str | Path, kind: str, *, force: bool = False) -> Path:
        """Write a firmware project of a kind of `firmware.KINDS`, with a program that runs the self-test.

        A model that can have no self-test is run on zeros instead.
        Raises OutputExistsError as `export_folder`, BuildError for an unknown kind, TargetError for one that does not
        exist for the target.
        """
        marker = project_marker(kind)
        possible = has_selftest(self.compiled.model, self.config)
        generated = Generated(self._files(self._selftest_outputs() if possible else None), self.config)
        write_folder(project_layout(kind, generated), Path(destination), force=force, marker=marker)
        return Path(destination)

    def _selftest_outputs(self) -> list[Array]:
        """What the reference makes of the inputs of the self-test."""
        inputs = selftest_inputs(self.compiled.model, self.config)
        return list(evaluate(ApplyRounding(self.config.rounding)(self.relax_module), inputs).outputs)

    def export_model_library_format(self, destination: str | Path, *, force: bool = False) -> Path:
        """Write a Model Library Format .tar; OutputExistsError when it exists and `force` is false."""
        write_model_library(self.files, self.compiled.model, Path(destination), force=force)
        return Path(destination)

    def run(self, inputs: Inputs, *, board: str | None = None, profile: bool = True) -> RunResult:
        """Run one inference on the target's board, or on another one of the same core, or on the host.

        inputs: arrays in the model's order, by name, or a single array.
        board: a board's name, or "host", or "zephyr:NAME" for a board of the Zephyr that ZEPHYR_BASE names; the
            target's own (default) board when None.
        profile: count instructions per layer (emulated boards).
        Raises RunError when the target has no board that can run.
        """
        report = self.run_many([inputs], board=board, profile=profile)
        return RunResult(report.outputs[0], report)

    def run_many(
        self,
        inputs: Sequence[Inputs],
        *,
        board: str | None = None,
        profile: bool = True,
        keep_elf: Path | None = None,
        address_counts: bool = False,
    ) -> RunReport:
        """Run several inferences in one boot; arguments as in `run`.

        keep_elf: where to leave the firmware; address_counts: count executions of every instruction address.
        """
        if (name := zephyr_board(board)) is not None:
            return self._run_in_zephyr(name, [self.ordered(one) for one in inputs], keep_elf)
        module = self.for_board(board)
        batches = [module.ordered(one) for one in inputs]
        runner = runner_of(module.config)
        module._check_npu()
        with module.project_folder() as folder:
            if runner == "host":
                host = HostModel(folder, module.config)
                outputs = [host.run(batch) for batch in batches]
                return RunReport(outputs, "host", module.compiled.plan.arena_bytes)
            report = run_qemu(
                folder,
                module.config,
                batches,
                profile=profile,
                address_counts=address_counts,
                keep_elf=keep_elf,
            )
            if module.calls_npu:
                # The functional model's, not that of the driver in its place.
                report = replace(report, stack_bytes=None)
            _check_flash(report, module.config)
            check_ram(report, module.config)
            return report

    @property
    def calls_npu(self) -> bool:
        """Whether an NPU computes something of the model."""
        return self.compiled.placement is not None and bool(self.compiled.placement.networks)

    def _check_npu(self) -> None:
        npu = self.config.npu
        if npu is not None and self.calls_npu and not npu.functional_model:
            raise RunError(
                f"{npu.name} can be compiled for, but not run here: {npu.notes} Export the project, or name an NPU "
                "that runs here (see `tvm-tinyml targets`)"
            )

    def _run_in_zephyr(
        self, board: str, batches: Sequence[Sequence[Array]], keep_elf: Path | None
    ) -> RunReport:
        """Run inferences on a board of the user's Zephyr: nothing is counted there."""
        require_zephyr(board)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / self.name
            write_folder(zephyr_run_project(Generated(self.files, self.config), batches), folder)
            project = load_project(folder / "model")
            for batch in batches:
                project.encode_inputs(batch)
            return run_zephyr(folder, board, project, len(batches), keep_elf=keep_elf)

    def tensors(self, inputs: Inputs) -> dict[str, Array]:
        """Values of every tensor that exists in memory, by name, after one inference on the host.

        The model is compiled again, once, so that no tensor's memory is reused: a debugging aid.
        """
        compiled = self._kept
        _, arena = self._kept_on_host.run_raw(self.ordered(inputs))
        values = {}
        for name in compiled.model.tensors.keys() & compiled.plan.offsets.keys():
            info = compiled.model.tensors[name]
            start = compiled.plan.offsets[name]
            raw = arena[start : start + info.spec.nbytes].tobytes()
            values[name] = np.frombuffer(raw, info.spec.dtype).reshape(info.spec.shape)
        return values

    @cached_property
    def _host(self) -> TargetConfig:
        """The host, with what this module's target says of results and passes."""
        words = ["tinyml -mcpu=host", f"-rounding={self.config.rounding}", *_without(self.config)]
        return parse_target(" ".join(words))

    @cached_property
    def _kept(self) -> Compiled:
        """The model for the host, with memory of its own for every tensor."""
        return compile_module(self.relax_module, self._host, patch=self.patch, keep_all=True)

    @cached_property
    def _kept_on_host(self) -> HostModel:
        """The same, compiled and loaded."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / self.name
            write_folder(project_files(self._kept.model, self._kept.plan, self._host), folder)
            return HostModel(folder, self._host)

    def for_board(self, board: str | None) -> AOTModule:
        """This module, or the same model compiled for another board of the same core (or the host)."""
        config = config_for_board(self.config, board)
        return self if config is self.config else self.for_target(config)

    def for_target(self, config: TargetConfig) -> AOTModule:
        """The same model for another target, compiled again only where that changes the code.

        PlanError as `relay.build`.
        """
        same = config.code_key == self.config.code_key
        return AOTModule(self.relax_module, config, self.patch, self.compiled if same else None)

    def ordered(self, inputs: Inputs) -> list[Array]:
        """Inputs as a list in the model's order; RunError when names or their number do not match."""
        names = [info.name for info in self.compiled.model.inputs]
        if isinstance(inputs, np.ndarray):
            inputs = [inputs]
        if isinstance(inputs, Mapping):
            if set(inputs) != set(names):
                raise RunError(f"inputs are named {sorted(inputs)}, the model takes {names}")
            return [np.asarray(inputs[name]) for name in names]
        if len(inputs) != len(names):
            raise RunError(f"{len(inputs)} inputs given, the model takes {len(names)}: {names}")
        return [np.asarray(value) for value in inputs]

    @contextmanager
    def project_folder(self) -> Iterator[Path]:
        """The project in a temporary folder."""
        with tempfile.TemporaryDirectory() as scratch:
            yield self.export_folder(Path(scratch) / self.name)


def _counter(config: TargetConfig) -> Count:
    """Runs models on the target's emulated board and counts the instructions of their layers."""
    if runner_of(config) != "qemu" or config.board is None or config.board.qemu is None:
        raise RunError(
            f"{config}: instructions are counted on emulated boards only; name one with -board=, or do not measure"
        )
    require_program(config.compiler_command()[0], BuildError)
    require_program(config.linker_command()[0], BuildError)
    require_program(config.board.qemu.binary, RunError)

    def count(model: LoweredModel, memory_plan: MemoryPlan) -> list[int]:
        zeros = [np.zeros(info.spec.shape, info.spec.dtype) for info in model.inputs]
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / model.name
            write_folder(project_files(model, memory_plan, config), folder)
            report = run_qemu(folder, config, [zeros], profile=True)
        return [layer.instructions for layer in report.layers]

    return count


def config_for_board(config: TargetConfig, board: str | None) -> TargetConfig:
    """`config` when it already is for `board` (None: any), else one for that board of the same core, or the host.

    Options and memory budgets are kept; a budget that was the old board's memory becomes that of the new one.
    TargetError for an unknown board, one that cannot have the core, or one too small for a budget.
    """
    own = config.board
    if board is None or (own is not None and board == own.name):
        return config
    placed = ("-mcpu=", "-board=", "-compiler=", "-ram=", "-flash=")
    words = [word for word in str(config).split()[1:] if not word.startswith(placed)]
    if board == "host":
        words.append("-mcpu=host")
    else:
        words += [f"-mcpu={config.core.name}", f"-board={board}", f"-compiler={config.compiler}"]
    for option, budget, memory in (
        ("ram", config.ram_bytes, own.ram_bytes if own else None),
        ("flash", config.flash_bytes, own.flash_bytes if own else None),
    ):
        if budget is not None and budget != memory:
            words.append(f"-{option}={budget}")
    return parse_target(" ".join(["tinyml", *words]))


def _without(config: TargetConfig) -> list[str]:
    return [f"-without={','.join(config.without)}"] if config.without else []


def runner_of(config: TargetConfig) -> str:
    """What runs programs for `config`: "host" or "qemu"; RunError when it can only be compiled for."""
    runner = config.board.runner if config.board is not None else "none"
    if runner == "none":
        where = config.board.name if config.board is not None else f"core {config.core.name}"
        raise RunError(
            f"{where} can be compiled for, but not run here; export the project, or name a board "
            "that is emulated (see `tvm-tinyml targets`)"
        )
    return runner


def check_ram(report: RunReport, config: TargetConfig) -> None:
    """Raise BuildError when the arena and the stack that was measured exceed the RAM budget."""
    budget, stack = config.ram_bytes, report.stack_bytes
    if budget is not None and stack is not None and report.arena_bytes + stack > budget:
        raise BuildError(
            f"the model takes {report.arena_bytes + stack:,} bytes of RAM (arena {report.arena_bytes:,}, measured "
            f"stack {stack:,}), the budget is {budget:,}; choose a budget that is {stack - STACK_BYTES:,} bytes larger"
        )


def _check_flash(report: RunReport, config: TargetConfig) -> None:
    budget, flash = config.flash_bytes, report.flash
    if budget is not None and flash is not None and flash.total > budget:
        raise BuildError(
            f"the model takes {flash.total:,} bytes of flash (text {flash.text:,}, rodata {flash.rodata:,}, "
            f"data {flash.data:,}), the budget is {budget:,}; choose a smaller model or a larger budget"
        )
