"""The `tvm-tinyml` command: one file per subcommand.

Exit codes: 0 good, 1 a check failed, 2 the user's input or environment is wrong. Tables and progress are for
people; with --json, standard output holds one JSON document and nothing else.
"""

from __future__ import annotations

import sys

import click

from tvm_tinyml import __version__
from tvm_tinyml.errors import TinyMLError

from .compile import compile_command
from .inspect import inspect_command
from .ops import ops_command
from .plan import plan_command
from .run import run_command
from .targets import targets_command

USER_ERROR = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tvm-tinyml")
def cli() -> None:
    """Compile int8 models to plain C for microcontrollers, and run them on emulated cores."""


for _command in (compile_command, run_command, inspect_command, plan_command, targets_command, ops_command):
    cli.add_command(_command)


def main() -> None:
    """Run the command; a user's mistake becomes one line on standard error and exit code 2."""
    try:
        cli(prog_name="tvm-tinyml")
    except TinyMLError as error:
        click.echo(f"tvm-tinyml: error: {error}", err=True)
        sys.exit(USER_ERROR)
