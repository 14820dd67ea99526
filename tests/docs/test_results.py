"""The figures in README.md are those of docs/results, which `tvm-tinyml bench` wrote."""

from __future__ import annotations

import csv

from tests.docs.markdown import ROOT
from tvm_tinyml.choose import scratch_limit
from tvm_tinyml.cli.results import COLUMNS
from tvm_tinyml.target import parse_target

RESULTS = ROOT / "docs" / "results"


def test_readme_quotes_the_result_table() -> None:
    text = (RESULTS / "results.md").read_text(encoding="utf-8")
    section = text.partition("## digits\n\n")[2].partition("\n\n")[0]
    assert section.startswith("| target |")
    assert section in (ROOT / "README.md").read_text(encoding="utf-8")


def test_kept_results_are_exact_and_of_this_format() -> None:
    with (RESULTS / "results.csv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        for row in reader:
            assert row["bit_exact"] == "True" or row["failure"], row


def test_kept_plans_are_exact_and_keep_the_bound_on_scratch() -> None:
    with (RESULTS / "patches.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        config = parse_target(row["target"])
        assert row["exact"] == "True", row
        assert int(row["scratch"]) <= scratch_limit(config, streams=True), row
