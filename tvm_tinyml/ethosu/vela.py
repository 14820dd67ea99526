"""Arm's compiler Vela in a process of its own: what its native code says goes past Python, and may end it."""

from __future__ import annotations

import csv
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tvm_tinyml.errors import ModelError

_MODES = {"shared-sram": "Shared_Sram", "dedicated-sram": "Dedicated_Sram", "sram-only": "Sram_Only"}
_CONFIGURATIONS = "Arm/vela.ini"
_KIBIBYTE = 1024
# "Warning (supported operators) operator: ARGMAX, ofm: 't3'", and then the reasons until an empty line.
_REFUSED = re.compile(r"^Warning \([^)]*\) operator: \w+, ofm: '([^']*)'$")


@dataclass(frozen=True)
class Setup:
    """What Vela compiles for; empty words leave the choice to it.

    ignore: TFLite operators to leave on the CPU.
    """

    accelerator: str
    system_config: str = ""
    memory_mode: str = ""
    ignore: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """Words of the command."""
        words = ["--accelerator-config", self.accelerator]
        if self.system_config:
            words += ["--config", _CONFIGURATIONS, "--system-config", self.system_config]
        if self.memory_mode:
            words += ["--memory-mode", _MODES[self.memory_mode]]
        return [*words, "--ignore-ops", ",".join(self.ignore)] if self.ignore else words


@dataclass(frozen=True)
class Estimate:
    """What Vela estimates of one inference: cycles at `clock` Hz, and bytes of each kind of memory."""

    cycles: int
    clock: float
    sram_bytes: int
    dram_bytes: int
    flash_bytes: int
    macs: int


@dataclass(frozen=True)
class Result:
    """What a run of Vela left: its output file, and for each tensor whose operator it refuses the reasons."""

    file: Path
    refusals: Mapping[str, str]
    estimate: Estimate | None


@contextmanager
def run_vela(model: bytes, setup: Setup, output: Literal["raw", "tflite"]) -> Iterator[Result]:
    """Compile a .tflite model; the result lasts as long as the context.

    Raises ModelError where Vela is not installed, with its name and how to get it, or fails, with its own words.
    """
    if importlib.util.find_spec("ethosu") is None:
        raise ModelError("compiling for Ethos-U needs ethos-u-vela: pip install 'tvm-tinyml[ethosu]'")
    with tempfile.TemporaryDirectory(prefix="tvm-tinyml-") as name:
        folder = Path(name)
        path = folder / "network.tflite"
        path.write_bytes(model)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ethosu.vela", str(path)),
                *(*setup.arguments, "--output-format", output, "--output-dir", name),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ModelError(
                f"Vela does not compile the whole model for {setup.accelerator}: {_reasons(done)}"
            )
        file = folder / ("network_vela.npz" if output == "raw" else "network_vela.tflite")
        yield Result(file, _refusals(done.stdout), _estimate(folder))


def _reasons(done: subprocess.CompletedProcess[str]) -> str:
    """What Vela said, without its traceback and its remarks on configurations."""
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    return "\n".join(
        line for line in lines if line and not line.startswith((" ", "Traceback", "Warning: No "))
    )


def _refusals(said: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    reasons: list[str] | None = None
    for line in said.splitlines():
        start = _REFUSED.match(line)
        if start is not None:
            reasons = found.setdefault(start[1], [])
        elif not line.strip():
            reasons = None
        elif reasons is not None:
            reasons.append(line.strip().removeprefix("- "))
    return {name: "; ".join(reasons) for name, reasons in found.items()}


def _estimate(folder: Path) -> Estimate | None:
    """The summary that Vela writes beside its output; sizes in it are KiB."""
    summaries = sorted(folder.glob("*_summary_*.csv"))
    if not summaries:
        return None
    with summaries[0].open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file), None)
    if row is None:
        return None

    def nbytes(column: str) -> int:
        return round(float(row[column]) * _KIBIBYTE)

    return Estimate(
        cycles=round(float(row["cycles_total"])),
        clock=float(row["core_clock"]),
        sram_bytes=nbytes("sram_memory_used"),
        dram_bytes=nbytes("dram_memory_used"),
        flash_bytes=nbytes("off_chip_flash_memory_used") + nbytes("on_chip_flash_memory_used"),
        macs=round(float(row["nn_macs"])),
    )
