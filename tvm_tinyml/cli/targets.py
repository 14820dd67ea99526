"""`tvm-tinyml targets`: the cores, boards and options a target string may name."""

from __future__ import annotations

import click

from tvm_tinyml.target import OPTIONS, list_boards, list_cores

from .common import json_option, print_json, print_table


@click.command("targets")
@json_option
def targets_command(as_json: bool) -> None:
    """List cores, boards and target options."""
    cores, boards = list_cores(), list_boards()
    if as_json:
        print_json(
            {
                "cores": {
                    core.name: {"features": sorted(core.features), "default_board": core.default_board}
                    for core in cores
                },
                "boards": {
                    board.name: {
                        "title": board.title,
                        "cores": list(board.cores),
                        "runner": board.runner,
                        "ram_bytes": board.ram_bytes,
                        "flash_bytes": board.flash_bytes,
                    }
                    for board in boards
                },
                "options": list(OPTIONS),
            }
        )
        return
    print_table(
        "Cores (-mcpu=)",
        ("core", "features", "default board"),
        [(core.name, " ".join(sorted(core.features)), core.default_board) for core in cores],
    )
    print_table(
        "Boards (-board=)",
        ("board", "what", "core", "runs here", "RAM (bytes)", "flash (bytes)"),
        [
            (b.name, b.title, " ".join(b.cores), b.runner != "none", b.ram_bytes, b.flash_bytes)
            for b in boards
        ],
    )
    click.echo("Options: " + " ".join(f"-{option}=" for option in OPTIONS))
