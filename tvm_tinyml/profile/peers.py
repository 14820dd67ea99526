"""Comparison with other runtimes whose figures were measured elsewhere and are given as a CSV file.

One line per measurement. Needed columns: peer, core, model and the figures of `FIGURES`, of which `OPTIONAL_FIGURES`
may be missing; an empty cell is a figure that was not measured. `flags` tells measurements of one peer apart. A line
whose every `exact...` column says no (a text that begins with n) computes something else than the model and is listed
apart.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvm_tinyml.errors import RunError

FIGURES = ("instructions", "estimated_cycles", "arena_bytes", "flash_without_weights_bytes")
"""What is compared, by column; less is better."""

OPTIONAL_FIGURES = ("estimated_cycles",)

_NAMES = ("peer", "core", "model")


@dataclass(frozen=True)
class PeerResult:
    """One line of the file. `figures` holds what was measured; `exact` is None when the file does not say."""

    peer: str
    flags: str
    core: str
    model: str
    figures: dict[str, int]
    exact: bool | None


@dataclass(frozen=True)
class OwnResult:
    """Our figures of one model on one target, by the names of `FIGURES`; `target` does not name the compiler."""

    model: str
    target: str
    compiler: str
    core: str
    figures: dict[str, int]


@dataclass(frozen=True)
class Comparison:
    """One figure of ours, the best of all compilers, beside the best of the peers.

    peer: the best line whose outputs are right; None when there is none.
    inexact_peer: the best line whose outputs are wrong, when it is better than `peer`.
    """

    own: OwnResult
    figure: str
    peer: PeerResult | None
    inexact_peer: PeerResult | None

    @property
    def value(self) -> int:
        """Our figure."""
        return self.own.figures[self.figure]

    def ratio(self, peer: PeerResult | None) -> float | None:
        """Ours over the peer's: below one is better; None without a peer."""
        return self.value / peer.figures[self.figure] if peer is not None else None


def read_peers(path: Path) -> list[PeerResult]:
    """Read a file of measurements; RunError naming line and column when something is missing or no number."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            needed = [name for name in (*_NAMES, *FIGURES) if name not in OPTIONAL_FIGURES]
            missing = [name for name in needed if name not in columns]
            if missing:
                raise RunError(
                    f"{path} has no column {', '.join(missing)}; its first line must name the columns"
                )
            exact = [name for name in columns if name.startswith("exact")]
            return [_read_line(f"{path}, line {reader.line_num}", line, exact) for line in reader]
    except FileNotFoundError:
        raise RunError(f"{path}: no such file; pass a CSV file of measurements") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path} is no CSV file: {error}") from None


def compare(own: Iterable[OwnResult], peers: Sequence[PeerResult]) -> list[Comparison]:
    """Put every figure of ours beside the best peer of the same model and core; those without any are left out.

    Figures that peers need not have stand without one where the others are compared.
    Of several results for one model and target (one per compiler) the best counts, for each figure by itself, as it
    does for the peers.
    """
    groups: dict[tuple[str, str], list[OwnResult]] = {}
    for result in own:
        groups.setdefault((result.model, result.target), []).append(result)
    comparisons = []
    for results in groups.values():
        first = results[0]
        rivals = [peer for peer in peers if peer.model == first.model and has_core(peer.core, first.core)]
        for figure in FIGURES:
            measured = [result for result in results if figure in result.figures]
            if not measured:
                continue
            right = _best(figure, [peer for peer in rivals if peer.exact is not False])
            wrong = _best(figure, [peer for peer in rivals if peer.exact is False])
            if wrong is not None and right is not None and wrong.figures[figure] >= right.figures[figure]:
                wrong = None
            if right is not None or wrong is not None or (rivals and figure in OPTIONAL_FIGURES):
                best = min(measured, key=lambda result: result.figures[figure])
                comparisons.append(Comparison(best, figure, right, wrong))
    return comparisons


def has_core(described: str, core: str) -> bool:
    """Whether a peer's description of its machine ("mps2-an386 cortex-m4f") names `core`.

    An F behind the name of a Cortex-M says that it has a floating-point unit, an A in a RISC-V instruction set that
    it has atomic instructions: neither makes a difference to integer kernels.
    """
    return core in {_plain(word) for word in described.lower().split()}


def _plain(word: str) -> str:
    word = re.sub(r"^(cortex-m\d+)f$", r"\1", word)
    return re.sub(r"^(rv32im)a(c?v?)$", r"\1\2", word)


def _best(figure: str, peers: Iterable[PeerResult]) -> PeerResult | None:
    measured = [peer for peer in peers if figure in peer.figures]
    return min(measured, key=lambda peer: peer.figures[figure], default=None)


def _read_line(where: str, line: dict[str, str | None], exact: Sequence[str]) -> PeerResult:
    cells = {name: (value or "").strip() for name, value in line.items() if isinstance(value, str | None)}
    figures = {}
    for figure in FIGURES:
        if cells.get(figure):
            if not cells[figure].isdecimal() or int(cells[figure]) == 0:
                raise RunError(f"{where}: {figure} is {cells[figure]!r}, not a positive whole number")
            figures[figure] = int(cells[figure])
    verdicts = [cells[name].startswith("y") for name in exact if cells[name]]
    return PeerResult(
        peer=cells["peer"],
        flags=cells.get("flags", ""),
        core=cells["core"],
        model=cells["model"],
        figures=figures,
        exact=any(verdicts) if verdicts else None,
    )
