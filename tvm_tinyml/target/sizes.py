"""Memory sizes as users and data files write them: "64K", "512KiB", "4M", "16384".

K and KiB are 1024 bytes, M and MiB are 1048576 bytes, a bare number is bytes. Anything else is refused;
"KB" and "MB" too, because half of the datasheets mean 1000 by them and the other half 1024.
"""

from __future__ import annotations

import re

from tvm_tinyml.errors import TargetError

MAX_BYTES = 1 << 32
"""All supported devices address memory with 32 bits."""

_UNITS = {"": 1, "K": 1 << 10, "KiB": 1 << 10, "M": 1 << 20, "MiB": 1 << 20}
_SIZE = re.compile(r"([0-9]{1,10})([A-Za-z]*)")


def parse_size(text: str, what: str) -> int:
    """Return the bytes written as `text`; `what` names the option or key in the TargetError of a bad size."""
    match = _SIZE.fullmatch(text)
    if match is None or match.group(2) not in _UNITS:
        raise TargetError(
            f"{what}: {text!r} is not a size; write bytes (65536) or a whole number "
            "with K or KiB (1024 bytes) or M or MiB (1024 K), for example 64K"
        )
    return check_size(int(match.group(1)) * _UNITS[match.group(2)], what)


def check_size(nbytes: int, what: str) -> int:
    """Return `nbytes` when it lies in 1 .. 4 GiB, else raise TargetError."""
    if not 0 < nbytes <= MAX_BYTES:
        raise TargetError(f"{what}: {nbytes} bytes is outside 1 byte .. 4 GiB (32-bit devices)")
    return nbytes


def format_size(nbytes: int) -> str:
    """Return the shortest exact spelling that `parse_size` reads back: M, K or plain bytes."""
    for unit in ("M", "K"):
        if nbytes % _UNITS[unit] == 0:
            return f"{nbytes // _UNITS[unit]}{unit}"
    return str(nbytes)
