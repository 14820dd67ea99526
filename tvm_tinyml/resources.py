"""Location of the data folders that ship beside the code.

In a checkout `target_configs/`, `schedules/` and `runtime_c/` lie at the repository root; a wheel carries
them inside the package. Both layouts answer to the same names.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Return the folder `name` ("target_configs" or "runtime_c").

    Raises FileNotFoundError when neither layout holds it: the installation is broken.
    """
    for base in (_PACKAGE, _PACKAGE.parent):
        folder = base / name
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"tvm_tinyml: data folder {name!r} is missing; reinstall the package")
