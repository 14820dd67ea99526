"""The functional model in C, built with sanitizers into a program that runs many streams."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tvm_tinyml.ethosu import registers
from tvm_tinyml.resources import data_dir

SOURCES = data_dir("runtime_c") / "ethosu"
HEADER = SOURCES / "npu_model.h"
_SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover"]
_FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-g", *_SANITIZERS]


@dataclass(frozen=True)
class Job:
    """A payload and the regions that it runs on."""

    payload: bytes
    regions: dict[int, npt.NDArray[np.uint8]]


def build(folder: Path) -> Path:
    """The program; raises if the model does not compile without a warning."""
    program = folder / "npu"
    runner = Path(__file__).with_name("npu_runner.c")
    command = [
        "gcc",
        *_FLAGS,
        "-DNPU_WEIGHTS=1048576",
        f"-I{SOURCES}",
        *map(str, sorted(SOURCES.glob("*.c"))),
    ]
    subprocess.run([*command, str(runner), "-o", str(program)], check=True)
    return program


def run(program: Path, jobs: Sequence[Job]) -> list[tuple[int, dict[int, npt.NDArray[np.uint8]]]]:
    """Results of the driver's invoke and the regions afterwards; a crash or a sanitizer's report is an error."""
    message = struct.pack("<I", len(jobs))
    for job in jobs:
        sizes = [len(job.regions[number]) if number in job.regions else 0 for number in range(8)]
        message += struct.pack("<9I", len(job.payload), *sizes) + job.payload
        message += b"".join(job.regions[number].tobytes() for number in sorted(job.regions))
    done = subprocess.run([program], input=message, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    results, position = [], 0
    for job in jobs:
        (code,) = struct.unpack_from("<i", done.stdout, position)
        position += 4
        regions = {}
        for number in sorted(job.regions):
            size = len(job.regions[number])
            regions[number] = np.frombuffer(done.stdout, np.uint8, size, position)
            position += size
        results.append((code, regions))
    return results


def enumerators(text: str, kind: type[IntEnum]) -> dict[str, int]:
    """Names and numbers of the registers in the header, without their prefix."""
    name = "npu_register" if kind is registers.Register else "npu_wide_register"
    found = re.search(rf"enum {name} \{{(.*?)\}}", text, re.DOTALL)
    assert found is not None
    numbers: dict[str, int] = {}
    following = 0
    for entry in found[1].split(","):
        label, _, value = entry.strip().partition(" = ")
        following = int(value, 0) if value else following
        numbers[label.removeprefix("NPU_")] = following
        following += 1
    return numbers
