"""The result files of `tvm-tinyml bench`: results.csv for programs, results.md for people.

They hold nothing that changes from run to run: no dates, times or folders.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from .common import cell

CSV_FILE = "results.csv"
MARKDOWN_FILE = "results.md"
# Keys of a row and the headings people see.
HEADINGS = {
    "model": "model",
    "target": "target",
    "compiler": "compiler",
    "best": "best",
    "board": "board",
    "macs": "MACs",
    "instructions": "instructions",
    "instructions_per_mac": "per MAC",
    "estimated_cycles": "est. cycles",
    "register_list_cycles": "+ register lists",
    "arena_bytes": "arena",
    "arena_without_scratch_bytes": "w/o scratch",
    "lower_bound_bytes": "lower bound",
    "stack_bytes": "stack",
    "text_bytes": "text",
    "rodata_bytes": "rodata",
    "data_bytes": "data",
    "code_bytes": "code",
    "constant_bytes": "constants",
    "constants_of_file": "of the file",
    "bit_exact": "bit-exact",
    "reference": "reference",
    "failure": "failure",
}
CYCLES_NOTE = (
    "Cycles are an estimate: every straight piece of code priced once by llvm-mca's model of the core (RVV: every "
    "vector instruction by its registers) and multiplied by its exact count, without flash wait states, caches and "
    "the refill of the pipeline behind taken branches. LLVM's models take a load or store of several registers "
    "as one cycle; what the hardware needs beyond that is the column of register lists."
)
COLUMNS = tuple(HEADINGS)
# A reason is a sentence and stands below a table; the compiler is that of the target.
TABLE_COLUMNS = tuple(column for column in COLUMNS if column not in ("failure", "compiler"))
# What fits beside each other on a terminal; the board and the reference follow from the target, text, rodata and data
# are what code and constants are made of.
_FILES_ONLY = (
    "board",
    "reference",
    "text_bytes",
    "rodata_bytes",
    "data_bytes",
    "register_list_cycles",
    "lower_bound_bytes",
)
TERMINAL_COLUMNS = tuple(column for column in TABLE_COLUMNS if column not in _FILES_ONLY)
Row = Mapping[str, Any]
TABLE_NOTE = (
    "Sizes are in bytes; instructions are those of one inference, counted exactly on the emulator; MACs are the "
    "multiply-accumulates of the model file. The arena includes the scratch of layers; beside it stand a plan without "
    "any, and the lower bound: the least arena of any plan for the same order of operators. Text, rodata and data are "
    "flash, divided in another way into constants (weights, biases and factors of the layers that multiply) and code "
    "(all the rest: instructions, tables, strings). Of the file: these constants over the int8 weights, int32 biases "
    "and float32 scales that the model file holds for them."
)
BEST_NOTE = "Best is the compiler with fewer instructions."


def csv_text(rows: Sequence[Row]) -> str:
    """All rows as CSV: sizes in bytes, empty cells for what was not measured."""
    return table_csv(COLUMNS, rows)


def table_csv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Rows as CSV; None is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def table_lines(headings: Mapping[str, str], rows: Sequence[Row]) -> list[str]:
    """Rows as a Markdown table of the columns in `headings` that have a value in any row."""
    shown = [column for column in headings if any(row[column] is not None for row in rows)]
    return [
        _line(headings[column] for column in shown),
        _line("---:" if _is_number(rows, column) else "---" for column in shown),
        *(_line(_cell(row[column]) for column in shown) for row in rows),
    ]


def markdown_text(rows: Sequence[Row], tools: Mapping[str, str], inputs: int) -> str:
    """One table per model; sizes in bytes, instructions of one inference."""
    lines = ["# Results", "", f"Written by `tvm-tinyml bench`, {inputs} random inputs per line. {TABLE_NOTE}"]
    if any(row["best"] is not None for row in rows):
        lines += ["", BEST_NOTE]
    if any(row["estimated_cycles"] is not None for row in rows):
        lines += ["", CYCLES_NOTE]
    for model in dict.fromkeys(row["model"] for row in rows):
        of_model = [row for row in rows if row["model"] == model]
        headings = {column: HEADINGS[column] for column in TABLE_COLUMNS if column != "model"}
        lines += ["", f"## {model}", "", *table_lines(headings, of_model)]
        reasons = [f"* `{row['target']}`: {row['failure']}" for row in of_model if row["failure"] is not None]
        lines += ["", *reasons] if reasons else []
    lines += ["", "## Tools", "", *(f"* {version}" for version in tools.values())]
    return "\n".join(lines) + "\n"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _is_number(rows: Sequence[Row], column: str) -> bool:
    return any(isinstance(row[column], int | float) and not isinstance(row[column], bool) for row in rows)


def _cell(value: Any) -> str:
    return cell(value).replace("|", "\\|")
