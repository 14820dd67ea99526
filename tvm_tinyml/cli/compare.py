"""What `tvm-tinyml bench` adds on request: estimated cycles, work by class of layer, peers, plots.

Files hold nothing that changes from run to run, as those of results.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import print_table
from .estimator import NO_MODEL, require_estimator
from .results import CYCLES_NOTE, table_csv, table_lines

if TYPE_CHECKING:
    from tvm_tinyml.module import AOTModule
    from tvm_tinyml.profile.cycles import CycleEstimate
    from tvm_tinyml.profile.peers import Comparison, OwnResult, PeerResult
    from tvm_tinyml.profile.work import FlashUse, LayerWork, Work
    from tvm_tinyml.runner import RunReport
    from tvm_tinyml.target import TargetConfig

    from .tensors import Array

LAYERS_FILE, CLASSES_FILE = "layers.csv", "classes.md"
COMPARISON_CSV, COMPARISON_MARKDOWN = "comparison.csv", "comparison.md"
PER_MAC_PLOT, PEAK_PLOT, PEER_PLOT = "instructions_per_mac.svg", "peak_share.svg", "peer_ratio.svg"

PEERS_NOTE = (
    "Ratios are ours over the best peer's figure of the same model and core: below 1 is better. Where both sides were "
    "built in several ways, the best of each counts, for every figure by itself. A peer whose outputs are wrong is "
    "listed beside it when it would be better. Flash without weights is text, rodata and data, for the peers without "
    "the model file, for us without what a model file would hold for the layers that the graph passes leave: int8 "
    "weights, int32 biases and float32 scales; what our constants take beyond that counts."
)

_LAYER_COLUMNS = (
    "model",
    "target",
    "layer",
    "class",
    "schedule",
    "macs",
    "instructions",
    "estimated_instructions",
    "instructions_per_mac",
    "slowdown_in_class",
    "reason",
    "estimated_cycles",
    "register_list_cycles",
    "peak_share",
    "peak_share_with_register_lists",
)
_CLASS_HEADINGS = {
    "target": "target",
    "class": "class",
    "layers": "layers",
    "macs": "MACs",
    "instructions": "instructions",
    "instructions_per_mac": "per MAC",
    "estimated_cycles": "est. cycles",
    "register_list_cycles": "+ register lists",
    "peak_share": "of peak",
    "peak_share_with_register_lists": "with lists",
}
_COMPARISON_HEADINGS = {
    "model": "model",
    "target": "target",
    "figure": "figure",
    "ours": "ours",
    "compiler": "compiler",
    "peer": "best peer",
    "peer_flags": "built with",
    "peer_value": "its figure",
    "ratio": "ratio",
    "inexact_peer": "better, but wrong outputs",
    "inexact_flags": "built with",
    "inexact_value": "its figure",
    "inexact_ratio": "ratio",
}
# How something was built is long: files hold it, the terminal does not.
_COMPARISON_SHOWN = {name: text for name, text in _COMPARISON_HEADINGS.items() if not name.endswith("_flags")}
_FIGURES = {
    "instructions": "instructions",
    "estimated_cycles": "est. cycles",
    "arena_bytes": "arena",
    "flash_without_weights_bytes": "flash without weights",
}


def extra_options(command: Any) -> Any:
    """Add --cycles, --peers and --plots to a command."""
    for option in (
        click.option(
            "--plots", is_flag=True, help="Write plots (SVG) to the output folder; needs the viz extra."
        ),
        click.option(
            "--peers",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Compare with the measurements of other runtimes in this CSV file.",
        ),
        click.option(
            "--cycles",
            is_flag=True,
            help="Estimate cycles with llvm-mca and report by class of layer; nothing for cores without a model.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Measured:
    """One model on one emulated target."""

    target: str
    own: OwnResult
    layers: tuple[LayerWork, ...]
    estimate: CycleEstimate | None
    flash: FlashUse | None

    def columns(self) -> dict[str, int | float | None]:
        """What a row of the result table gets."""
        columns: dict[str, int | float | None] = {}
        if self.estimate is not None:
            columns["estimated_cycles"] = self.estimate.total
            columns["register_list_cycles"] = self.estimate.register_lists
        if self.flash is not None:
            columns["code_bytes"] = self.flash.code
            columns["constant_bytes"] = self.flash.constants
            columns["constants_of_file"] = _rounded(self.flash.constants_ratio)
        return columns


@dataclass
class Extras:
    """What was asked for, and what was measured so far."""

    cycles: bool
    peers: list[PeerResult] | None
    plots: bool
    measured: list[Measured] = field(default_factory=list)

    @classmethod
    def prepare(
        cls,
        cycles: bool,
        peers: Path | None,
        plots: bool,
        output: Path | None,
        configs: Sequence[TargetConfig],
    ) -> Extras:
        """Check everything that can be wrong before any work is done; RunError or UsageError when it is."""
        if plots:
            if output is None:
                raise click.UsageError("--plots needs a folder to write to: give --output")
            from tvm_tinyml.profile.plots import require_matplotlib

            require_matplotlib()
        if cycles:
            require_estimator(configs)
        read = None
        if peers is not None:
            from tvm_tinyml.profile.peers import read_peers

            read = read_peers(peers)
        return cls(cycles, read, plots)

    @property
    def files(self) -> list[str]:
        """Names of the files that `texts` makes."""
        names = []
        if self.cycles:
            names += [LAYERS_FILE, CLASSES_FILE]
        if self.peers is not None:
            names += [COMPARISON_CSV, COMPARISON_MARKDOWN]
        if self.plots:
            names.append(PER_MAC_PLOT)
            names += [PEAK_PLOT] if self.cycles else []
            names += [PEER_PLOT] if self.peers is not None else []
        return names

    def run(
        self, model: str, built: AOTModule, inputs: Sequence[Sequence[Array]]
    ) -> tuple[RunReport, dict[str, int | float | None]]:
        """Run a model on its target and keep what reports need; returns the run and columns for the result table.

        The host has none of them.
        """
        if built.config.core.family == "host":
            return built.run_many(inputs), {}
        with tempfile.TemporaryDirectory(prefix="tvm-tinyml-") as scratch:
            elf = Path(scratch) / f"{built.name}.elf"
            report = built.run_many(inputs, keep_elf=elf, address_counts=self.cycles)
            measured = _measured(model, built, report, self.cycles)
        self.measured.append(measured)
        return report, measured.columns()

    def document(self) -> dict[str, Any]:
        """What was asked for as data for JSON."""
        document: dict[str, Any] = {}
        if self.cycles:
            document |= {"layers": self._layer_rows(), "classes": self._class_rows()}
        if self.peers is not None:
            document["comparison"] = self._comparison_rows()
        return document

    def show(self) -> None:
        """Print what was asked for as tables."""
        if self.cycles:
            rows = self._class_rows()
            columns = {"model": "model", **_CLASS_HEADINGS}
            print_table("By class of layer", list(columns.values()), [_values(row, columns) for row in rows])
            click.echo(CYCLES_NOTE)
        if self.peers is not None:
            rows = self._comparison_rows()
            headings = list(_COMPARISON_SHOWN.values())
            print_table("Peers", headings, [_values(row, _COMPARISON_SHOWN) for row in rows])
            click.echo(PEERS_NOTE)

    def texts(self) -> dict[str, str]:
        """Contents of `files` by name."""
        texts = {}
        if self.cycles:
            texts[LAYERS_FILE] = table_csv(_LAYER_COLUMNS, self._layer_rows())
            texts[CLASSES_FILE] = self._classes_text()
        if self.peers is not None:
            rows = self._comparison_rows()
            texts[COMPARISON_CSV] = table_csv(tuple(_COMPARISON_HEADINGS), rows)
            lines = ["# Comparison with peers", "", PEERS_NOTE, "", *table_lines(_COMPARISON_HEADINGS, rows)]
            texts[COMPARISON_MARKDOWN] = "\n".join(lines) + "\n"
        return texts | (self._plots() if self.plots else {})

    def _layer_rows(self) -> list[dict[str, Any]]:
        from tvm_tinyml.profile.reasons import reasons
        from tvm_tinyml.profile.work import slowdown_in_class

        return [
            {
                **_origin(one),
                "layer": layer.name,
                "class": layer.layer_class,
                "schedule": layer.schedule,
                **_work_columns(layer.work, one.own.core),
                "estimated_instructions": layer.estimated_instructions,
                "slowdown_in_class": _rounded(slowdown),
                "reason": reason,
            }
            for one in self.measured
            for layer, slowdown, reason in zip(
                one.layers, slowdown_in_class(one.layers), reasons(one.layers, one.own.core), strict=True
            )
        ]

    def _class_rows(self, measured: Sequence[Measured] | None = None) -> list[dict[str, Any]]:
        """Work by class of layer of `measured`, of everything by default."""
        from tvm_tinyml.profile.work import by_class

        return [
            {
                **_origin(one),
                "class": summed.layer_class,
                "layers": summed.layers,
                **_work_columns(summed.work, one.own.core),
            }
            for one in (self.measured if measured is None else measured)
            for summed in by_class(one.layers)
        ]

    def _of_best_compiler(self) -> list[Measured]:
        """For each model and target the measurement with the fewest instructions: a drawing has room for one."""
        best: dict[tuple[str, str], Measured] = {}
        for one in self.measured:
            key = one.own.model, one.own.target
            count = one.own.figures.get("instructions", 0)
            if key not in best or count < best[key].own.figures.get("instructions", 0):
                best[key] = one
        return list(best.values())

    def _comparisons(self) -> list[Comparison]:
        from tvm_tinyml.profile.peers import compare

        return compare([one.own for one in self.measured], self.peers or [])

    def _comparison_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "model": one.own.model,
                "target": one.own.target,
                "figure": _FIGURES[one.figure],
                "ours": one.value,
                "compiler": one.own.compiler,
                "peer": one.peer and one.peer.peer,
                "peer_flags": one.peer and one.peer.flags,
                "peer_value": one.peer and one.peer.figures[one.figure],
                "ratio": _rounded(one.ratio(one.peer)),
                "inexact_peer": one.inexact_peer and one.inexact_peer.peer,
                "inexact_flags": one.inexact_peer and one.inexact_peer.flags,
                "inexact_value": one.inexact_peer and one.inexact_peer.figures[one.figure],
                "inexact_ratio": _rounded(one.ratio(one.inexact_peer)),
            }
            for one in self._comparisons()
        ]

    def _classes_text(self) -> str:
        rows = self._class_rows()
        methods = [f"* {one.own.model} on `{one.target}`: {_method(one.estimate)}" for one in self.measured]
        lines = ["# Work by class of layer", "", CYCLES_NOTE]
        for model in dict.fromkeys(row["model"] for row in rows):
            of_model = [row for row in rows if row["model"] == model]
            lines += ["", f"## {model}", "", *table_lines(_CLASS_HEADINGS, of_model)]
        lines += ["", "## Methods", "", *methods] if methods else []
        return "\n".join(lines) + "\n"

    def _plots(self) -> dict[str, str]:
        from tvm_tinyml.profile.plots import bar_panels
        from tvm_tinyml.profile.work import CLASSES

        rows = self._class_rows(self._of_best_compiler())
        texts = {
            PER_MAC_PLOT: bar_panels(
                _panels(rows, "model", "class", "instructions_per_mac"),
                CLASSES,
                title="Instructions per multiply-accumulate",
                label="instructions per MAC",
            )
        }
        if self.cycles:
            texts[PEAK_PLOT] = bar_panels(
                _panels(rows, "model", "class", "peak_share"),
                CLASSES,
                title="Estimated share of the machine's peak",
                label="share of peak",
                line=1.0,
            )
        if self.peers is not None:
            texts[PEER_PLOT] = bar_panels(
                _panels(self._comparison_rows(), "figure", "model", "ratio"),
                list(dict.fromkeys(one.own.model for one in self.measured)),
                title="Ours over the best peer",
                label="ratio (below 1 is better)",
                line=1.0,
            )
        return texts


def _measured(model: str, built: AOTModule, report: RunReport, cycles: bool) -> Measured:
    from tvm_tinyml.profile.cycles import estimate_cycles
    from tvm_tinyml.profile.peers import OwnResult
    from tvm_tinyml.profile.work import FlashUse, layer_work

    metadata = built.metadata
    estimate = estimate_cycles(report, built.config) if cycles else None
    flash = FlashUse.of(metadata, report.flash) if report.flash is not None else None
    figures = {"arena_bytes": report.arena_bytes}
    if report.instructions is not None:
        figures["instructions"] = report.instructions
    if estimate is not None:
        figures["estimated_cycles"] = estimate.total
    if flash is not None:
        figures["flash_without_weights_bytes"] = flash.beyond_file
    config = built.config
    own = OwnResult(model, str(config.with_default_compiler), config.compiler, config.core.name, figures)
    return Measured(str(config), own, layer_work(metadata, report.layers, estimate), estimate, flash)


def _method(estimate: CycleEstimate | None) -> str:
    if estimate is None:
        return NO_MODEL
    unknown = f"{estimate.unknown:,} executed instructions unknown to it, taken as one cycle each"
    return f"{estimate.method}; {unknown}" if estimate.unknown else estimate.method


def _origin(one: Measured) -> dict[str, str]:
    return {"model": one.own.model, "target": one.target}


def _work_columns(work: Work, core: str) -> dict[str, Any]:
    return {
        "macs": work.macs,
        "instructions": work.instructions,
        "instructions_per_mac": _rounded(work.instructions_per_mac),
        "estimated_cycles": work.cycles,
        "register_list_cycles": work.register_lists,
        "peak_share": _rounded(work.peak_share(core)),
        "peak_share_with_register_lists": _rounded(work.peak_share(core, with_register_lists=True)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _values(row: Mapping[str, Any], columns: Iterable[str]) -> list[Any]:
    return [row[column] for column in columns]


def _panels(
    rows: Iterable[Mapping[str, Any]], panel: str, category: str, value: str
) -> dict[str, dict[str, dict[str, float | None]]]:
    panels: dict[str, dict[str, dict[str, float | None]]] = {}
    for row in rows:
        series = panels.setdefault(row[panel], {}).setdefault(row["target"], {})
        series[row[category]] = row[value]
    return panels
