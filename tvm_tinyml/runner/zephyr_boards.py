"""Names of boards, which Zephyr changed with 3.7: board, SoC and core are separated by slashes since."""

from __future__ import annotations

from pathlib import Path

# Emulated boards whose names before and since differ by more than the separators; newest first.
_RENAMED = (
    ("mps3/corstone300/an547", "mps3/an547", "mps3_an547"),
    ("mps2/an521/cpu0", "mps2_an521"),
    ("mps2/an521/cpu1", "mps2_an521_remote"),
    ("mps2/an385", "mps2_an385"),
)


def name_in(zephyr: Path, board: str) -> str:
    """The name that the Zephyr at this folder has for a board, whichever of its names is given.

    A board that Zephyr does not have under any of them keeps its name: it may be the application's own, and else Zephyr
    says what there is.
    """
    renamed = next((names for names in _RENAMED if board in names), ())
    names = [board, *renamed, board.replace("/", "_")]
    return next((name for name in names if _exists(zephyr, name)), board)


def _exists(zephyr: Path, name: str) -> bool:
    """By its devicetree: the folder is named like the board, the file like the board, the SoC and the core."""
    folder = name.partition("/")[0]
    return any(zephyr.glob(f"boards/*/{folder}/{name.replace('/', '_')}.dts"))
