"""The `tvm-tinyml` command: one file per subcommand.

Exit codes: 0 good, 1 a check failed, 2 the user's input or environment is wrong, 3 a defect of this package.
Tables are for people; with --json, standard output holds one JSON document and nothing else. Progress and errors go
to standard error.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from tvm_tinyml import __version__
from tvm_tinyml.errors import TinyMLError

from .bench import bench_command
from .compile import compile_command
from .evaluate import evaluate_command
from .inspect import inspect_command
from .ops import ops_command
from .plan import plan_command
from .run import run_command
from .targets import targets_command

PROGRAM = "tvm-tinyml"
USER_ERROR = 2
DEFECT = 3
# As shells report a program ended by SIGINT or SIGPIPE.
INTERRUPTED = 130
PIPE_CLOSED = 141


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def cli(context: click.Context) -> None:
    """Compile int8 models to plain C for microcontrollers, and run them on emulated cores."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (
    compile_command,
    run_command,
    evaluate_command,
    inspect_command,
    plan_command,
    targets_command,
    ops_command,
    bench_command,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit; a user's mistake becomes one message on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal cannot show is no reason to fail.
            stream.reconfigure(errors="replace")
    try:
        # An exit code for --help and the like; nothing from a command that came to its end.
        code = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False) or 0
        sys.stdout.flush()
    except TinyMLError as error:
        code = _refuse(str(error))
    except click.UsageError as error:
        asked = error.ctx.command_path if error.ctx is not None else PROGRAM
        code = _refuse(f"{error.format_message()} (see `{asked} --help`)")
    except click.ClickException as error:
        code = _refuse(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; the flush at exit must not fail over it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_CLOSED
    except OSError as error:
        code = _refuse(_describe(error))
    except Exception:
        traceback.print_exc()
        click.echo(f"{PROGRAM}: this is a defect of {PROGRAM}, not of your input; please report it", err=True)
        code = DEFECT
    sys.exit(code)


def _refuse(message: str) -> int:
    click.echo(f"{PROGRAM}: error: {message}", err=True)
    return USER_ERROR


def _describe(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error}; check the path, its permissions and the free space"
