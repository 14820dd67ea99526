"""The model's name: prefix of everything that is generated, from the name of its file."""

from __future__ import annotations

import re

DEFAULT_NAME = "model"
# A model's header is called after it and lies in a folder of the include path, where it would be found in the place of
# these: the C library's headers (C17, 7.1.2) and the runtime's.
_HEADERS = re.compile(
    "assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|stdalign|stdarg|stdatomic"
    "|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|tgmath|threads|time|uchar|wchar|wctype"
    "|arm_mve|arm_acle|riscv_vector|tinyml_fixed_point|tinyml_guard|tinyml_rows|tinyml_columns",
    re.IGNORECASE,
)


def identifier(text: str) -> str:
    """`text` as a C identifier that is not the name of a header which generated code may include."""
    cleaned = re.sub(r"\W", "_", text, flags=re.ASCII).strip("_")
    if not cleaned:
        return DEFAULT_NAME
    usable = cleaned[0].isalpha() and not _HEADERS.fullmatch(cleaned)
    return cleaned if usable else f"{DEFAULT_NAME}_{cleaned}"
