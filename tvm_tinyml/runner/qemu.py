"""Runs a generated project on an emulated board: build, boot QEMU, read back outputs and figures.

The firmware reads and writes files in a temporary folder through semihosting (runtime_c/boards); instructions
are counted by a QEMU plugin (counting.py), so that the firmware is the same with and without profiling.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tvm_tinyml.errors import RunError
from tvm_tinyml.runner.build import Firmware, build_firmware
from tvm_tinyml.runner.counting import counting_plugin, markers, read_address_counts, read_snapshots
from tvm_tinyml.runner.faults import fault_error, lockup_error, parse_registers
from tvm_tinyml.runner.linker import default_stack_bytes
from tvm_tinyml.runner.project import Array, Project, load_project
from tvm_tinyml.runner.report import RunReport
from tvm_tinyml.runner.tools import require_program
from tvm_tinyml.target import BoardConfig, QemuMachine, TargetConfig

# An emulated multiply-accumulate of unscheduled code takes a few dozen instructions, QEMU with counting runs
# upwards of 50 million a second, and the machine may be busy with other work.
_BASE_SECONDS = 60.0
_SECONDS_PER_MAC = 2e-6

# struct status and enum outcome of runtime_c/boards/common/harness.c
_STATUS = struct.Struct("<IiII")
_OUTCOME_MODEL_FAILED = 3
_OUTCOMES = {
    1: "the harness could not open its input file",
    2: "the input file is shorter than its inputs",
    4: "the harness could not write its results",
}


def default_timeout(project: Project, inferences: int) -> float:
    """Return the seconds a run may take when no limit is given: one minute and 2 microseconds per MAC."""
    return _BASE_SECONDS + inferences * project.macs * _SECONDS_PER_MAC


def run_qemu(
    project_dir: str | Path,
    config: TargetConfig,
    inputs: Sequence[Sequence[Array]],
    *,
    profile: bool = True,
    address_counts: bool = False,
    timeout: float | None = None,
    stack_bytes: int | None = None,
    keep_elf: Path | None = None,
) -> RunReport:
    """Run every inference of `inputs` (one list of arrays each) in one boot of the config's board.

    `profile` counts instructions in total and per layer, `address_counts` also per address. `timeout` is in
    seconds (default: `default_timeout`), `stack_bytes` the size of the stack (default: an eighth of the RAM,
    at most 64 KiB), `keep_elf` a file the firmware is copied to.

    BuildError when the project does not compile or fit; RunError when QEMU is missing, an input does not fit
    its tensor, or the program faults, fails or does not end in time.
    """
    board, machine = _machine(config)
    project = load_project(project_dir)
    input_file = struct.pack("<I", len(inputs)) + b"".join(
        b"".join(project.encode_inputs(row)) for row in inputs
    )
    stack = default_stack_bytes(board) if stack_bytes is None else stack_bytes
    with tempfile.TemporaryDirectory(prefix="tvm-tinyml-") as name:
        folder = Path(name)
        firmware = build_firmware(project, config, board, folder, stack)
        if keep_elf is not None:
            _copy_whole(firmware.elf, keep_elf)
        (folder / "input.bin").write_bytes(input_file)
        command = _command(machine, firmware)
        if profile or address_counts:
            command += _counting_options(project, firmware, folder, address_counts)
        limit = default_timeout(project, len(inputs)) if timeout is None else timeout
        complaint = _boot(command, folder, limit, board)
        stack_used = _check_end(folder, firmware, board, project, stack, complaint)
        report = RunReport(
            outputs=_read_outputs(project, (folder / "output.bin").read_bytes(), len(inputs)),
            board=board.name,
            arena_bytes=project.arena_bytes,
            stack_bytes=stack_used,
            flash=firmware.flash,
            elf=keep_elf,
        )
        if profile and inputs:
            instructions, layers = read_snapshots((folder / "profile.txt").read_text("utf-8"), project)
            report = replace(report, instructions=instructions, layers=layers)
        if address_counts and inputs:
            counts = read_address_counts((folder / "counts.txt").read_text("utf-8"))
            report = replace(report, address_counts=counts)
        return report


def _machine(config: TargetConfig) -> tuple[BoardConfig, QemuMachine]:
    board = config.board
    if board is None:
        raise RunError(f"target {config} has no board to run on; name one with -board=")
    if board.qemu is None:
        raise RunError(f"board {board.name} has no emulator: programs can be built for it but not run here")
    return board, board.qemu


def _command(machine: QemuMachine, firmware: Firmware) -> list[str]:
    command = [require_program(machine.binary, RunError), "-M", machine.machine]
    if machine.cpu:
        command += ["-cpu", machine.cpu]
    command += [*machine.args, "-display", "none", "-serial", "none", "-monitor", "none"]
    return [*command, "-semihosting-config", "enable=on,target=native", "-kernel", firmware.elf.name]


def _counting_options(project: Project, firmware: Firmware, folder: Path, address_counts: bool) -> list[str]:
    (folder / "markers.txt").write_text(markers(project, firmware.symbols), encoding="utf-8")
    # A comma separates options; QEMU reads two of them as one that belongs to the value.
    plugin = str(counting_plugin()).replace(",", ",,")
    counts = ",counts=counts.txt" if address_counts else ""
    return ["-plugin", f"{plugin},markers=markers.txt,out=profile.txt{counts}"]


def _boot(command: list[str], folder: Path, limit: float, board: BoardConfig) -> str:
    """Run QEMU to its end and return what it wrote to standard error."""
    try:
        result = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunError(
            f"board {board.name}: the program did not end within {limit:g} s and was stopped; "
            "if it is only slow, allow more with timeout"
        ) from None
    return result.stderr.decode(errors="replace").strip()


def _check_end(
    folder: Path, firmware: Firmware, board: BoardConfig, project: Project, stack_bytes: int, complaint: str
) -> int:
    """Return the measured stack use of a program that ended well; RunError saying how it ended otherwise."""
    fault = folder / "fault.txt"
    if fault.is_file():
        raise fault_error(
            parse_registers(fault.read_text(encoding="utf-8")), firmware.symbols, board.name, stack_bytes
        )
    lockup = lockup_error(complaint, firmware.symbols, board.name)
    if lockup is not None:
        raise lockup
    status = folder / "status.bin"
    if not status.is_file() or status.stat().st_size != _STATUS.size:
        raise RunError(f"board {board.name}: QEMU ended without a result: {complaint or 'no reason given'}")
    outcome, model_result, _, stack_used = _STATUS.unpack(status.read_bytes())
    if outcome == _OUTCOME_MODEL_FAILED:
        raise RunError(f"board {board.name}: {project.entry} returned {model_result} instead of 0")
    if outcome != 0:
        raise RunError(f"board {board.name}: {_OUTCOMES.get(outcome, f'unknown outcome {outcome}')}")
    return int(stack_used)


def _read_outputs(project: Project, data: bytes, inferences: int) -> list[list[Array]]:
    outputs: list[list[Array]] = []
    start = 0
    for _ in range(inferences):
        row = []
        for tensor in project.outputs:
            row.append(tensor.decode(data[start : start + tensor.nbytes]))
            start += tensor.nbytes
        outputs.append(row)
    return outputs


def _copy_whole(source: Path, destination: Path) -> None:
    """Copy a file so that `destination` never holds a part of it."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{destination.name}.partial")
    shutil.copyfile(source, partial)
    partial.replace(destination)
