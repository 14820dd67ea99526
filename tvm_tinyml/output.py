"""Files and folders that appear whole or not at all: written beside their place, then renamed.

Something that exists is replaced only on request, and a folder only when it is of the kind that replaces it, so
that a mistyped path cannot cost a folder of other things.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from .errors import OutputExistsError


def refuse_existing(destination: Path, force: bool, marker: str | None = None) -> None:
    """Raise OutputExistsError when `destination` exists and may not be replaced.

    force: the user asked for replacement.
    marker: for a folder, the file that tells a folder of this kind from others; None for a file.
    """
    if not os.path.lexists(destination):
        return
    if not force:
        raise OutputExistsError(f"{destination} exists; choose another place or pass --force to replace it")
    if marker is None:
        if destination.is_dir():
            raise OutputExistsError(f"{destination} is a folder; choose the name of a file")
    elif not destination.is_dir():
        raise OutputExistsError(f"{destination} is not a folder; choose another place")
    elif not (destination / marker).exists() and any(destination.iterdir()):
        raise OutputExistsError(
            f"{destination} holds other things (it has no {marker}) and is not replaced; "
            "choose another place or remove it yourself"
        )


def write_whole(
    destination: Path, write: Callable[[Path], None], *, force: bool = False, marker: str | None = None
) -> None:
    """Let `write` make a file or folder at the path it is given, then move that to `destination`.

    Folders above `destination` are made. When `write` fails, nothing has changed.
    Raises OutputExistsError as `refuse_existing` does.
    """
    refuse_existing(destination, force, marker)
    place = Path(os.path.abspath(destination))
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as scratch:
        fresh, old = Path(scratch) / "new", Path(scratch) / "old"
        write(fresh)
        if os.path.lexists(place):
            place.rename(old)
        fresh.rename(place)
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)


def write_text(destination: Path, text: str, *, force: bool = False) -> None:
    """Write a text file (UTF-8) whole or not at all; OutputExistsError when it exists and `force` is false."""

    def write(place: Path) -> None:
        place.write_text(text, encoding="utf-8")

    write_whole(destination, write, force=force)
