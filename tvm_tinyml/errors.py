"""Errors a user can meet: each message names what was wrong, the limit that was hit and the remedy.

The command turns every `TinyMLError` into one line on standard error and exit code 2; anything else that
escapes is a defect of this package and keeps its traceback.
"""

from __future__ import annotations


class TinyMLError(Exception):
    """Base of every error caused by input, options or environment rather than by a defect."""


class TargetError(TinyMLError):
    """An unknown core, board or option, or a combination of them that cannot exist."""


class ModelError(TinyMLError):
    """A model file that is truncated, inconsistent or not of the announced format."""


class UnsupportedError(TinyMLError):
    """A well-formed model that uses something outside the supported operator set."""


class PlanError(TinyMLError):
    """A memory plan that does not fit its budget or violates a constraint."""


class BuildError(TinyMLError):
    """The C compiler or linker is missing or refused the generated project."""


class RunError(TinyMLError):
    """The program failed on the host, emulator or board: fault, timeout or wrong input."""


class OutputExistsError(TinyMLError):
    """The requested output path exists and overwriting was not asked for."""
