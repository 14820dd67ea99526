"""Wording of "that is not one of the valid values" for every name a user can mistype."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from tvm_tinyml.errors import TargetError


def unknown_choice(what: str, value: str, valid: Iterable[str]) -> TargetError:
    """Return the error for an unknown `value` of a `what` ("core"): nearest match and all valid names."""
    names = list(valid)
    near = difflib.get_close_matches(value, names, n=2)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return TargetError(f"unknown {what} {value!r}; {hint}valid: {', '.join(names) or 'none'}")


def require_choice(what: str, value: str, valid: Iterable[str]) -> str:
    """Return `value` when it is one of `valid`, else raise the TargetError of `unknown_choice`."""
    names = list(valid)
    if value not in names:
        raise unknown_choice(what, value, names)
    return value
