"""Prices of straight pieces of code by llvm-mca's scheduling model of a core.

Each piece is run 100 times in a row by llvm-mca and costs a hundredth of that: the price in a steady state, in
which the latency of one pass overlaps with the next as it does in a loop. All pieces go through one
invocation.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tvm_tinyml.errors import RunError
from tvm_tinyml.profile.llvm import LlvmTools
from tvm_tinyml.runner.tools import run_tool
from tvm_tinyml.target import CoreConfig

MODELLED_CORES = frozenset({"cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-m85"})
"""Cores for which LLVM has an in-order model of their own, or of a core with the same pipeline (M33: M4)."""

_ITERATIONS = 100
# The end of a low-overhead loop (Armv8.1-M architecture, LE and LETP) takes no time once its loop runs.
_FREE = frozenset({"le", "letp"})


@dataclass(frozen=True)
class Price:
    """Cycles of one pass; `unknown` instructions of it have no entry in the model and were taken as one each."""

    cycles: float
    unknown: int


def price(
    pieces: Iterable[tuple[str, ...]], core: CoreConfig, tools: LlvmTools
) -> dict[tuple[str, ...], Price]:
    """Price every distinct piece of assembly once.

    BuildError when llvm-mca fails, RunError when its answer is not understood.
    """
    distinct = list(dict.fromkeys(pieces))
    with tempfile.TemporaryDirectory(prefix="tvm-tinyml-") as name:
        folder = Path(name)
        (folder / "pieces.s").write_text(_regions(distinct), encoding="utf-8")
        answer = run_tool(
            [
                tools.mca,
                f"--mtriple={core.llvm_triple}",
                f"--mcpu={core.name}",
                f"--iterations={_ITERATIONS}",
                # The callee is priced where its instructions are; the default of a call is 100 cycles.
                "--call-latency=1",
                "--skip-unsupported-instructions=any",
                "--resource-pressure=false",
                "--instruction-info=false",
                "--json",
                "pieces.s",
            ],
            folder,
            f"estimating the cycles of {core.name}",
        )
    known = _parse(answer)
    prices = {}
    for index, piece in enumerate(distinct):
        modelled, cycles = known.get(str(index), (0, 0.0))
        unknown = len(_costly(piece)) - modelled
        prices[piece] = Price(cycles + unknown, unknown)
    return prices


def _costly(piece: Iterable[str]) -> list[str]:
    return [text for text in piece if text.split()[0] not in _FREE]


def _regions(pieces: Iterable[tuple[str, ...]]) -> str:
    lines = [".syntax unified"]
    for index, piece in enumerate(pieces):
        lines += [f"@ LLVM-MCA-BEGIN {index}", *_costly(piece), f"@ LLVM-MCA-END {index}"]
    return "\n".join(lines) + "\n"


def _parse(answer: str) -> dict[str, tuple[int, float]]:
    """Instructions that the model knew and cycles of one pass, by the name of the region."""
    try:
        return {
            region["Name"]: (
                len(region["Instructions"]),
                region["SummaryView"]["TotalCycles"] / region["SummaryView"]["Iterations"],
            )
            for region in json.loads(answer)["CodeRegions"]
        }
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RunError(f"llvm-mca's answer is not understood ({error}); use version 19 of LLVM") from None
