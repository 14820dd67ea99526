"""Location of the data folders that ship inside the package.

In a checkout `target_configs/` and `runtime_c/` lie at the repository root and are linked into the package; a
wheel carries them as files.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Return the folder `name` ("target_configs" or "runtime_c").

    Raises FileNotFoundError when it is missing: the installation is broken.
    """
    folder = _PACKAGE / name
    if not folder.is_dir():
        raise FileNotFoundError(f"tvm_tinyml: data folder {name!r} is missing; reinstall the package")
    return folder
