"""Copy of any number of bytes by one function, eight words per round where both addresses are aligned."""

from __future__ import annotations

from dataclasses import dataclass

from ..kernel import MicroKernel
from .scalar_memory import ROUND, WORD, Copy, register_move


@dataclass(frozen=True)
class LongCopy(Copy):
    """Copy of `nbytes` bytes by one function for all lengths, which asks itself whether both addresses are aligned."""

    aligned: bool = False

    @property
    def name(self) -> str:
        """Name of the C function (to, from, nbytes)."""
        return "tinyml_copy"

    def micro_kernel(self) -> MicroKernel:
        """The C function; what is left after the rounds goes without a loop, in which compilers see a library call."""
        words = [f"    {line}" for line in _words(ROUND, "    ")]
        rest = [line for size in (16, 8, 4) for line in (f"if (nbytes & {size}) {{", *_words(size, ""), "}")]
        source = [
            "static __attribute__((noinline)) void tinyml_copy(int8_t *to, const int8_t *from, int32_t nbytes)",
            "{",
            "    if ((((uintptr_t)to | (uintptr_t)from) & 3u) == 0u) {",
            f"        for (; nbytes >= {ROUND}; nbytes -= {ROUND}) {{",
            *words,
            "        }",
            *(f"        {line}" for line in rest),
            "        nbytes &= 3;",
            "    }",
            f"    for (; nbytes >= {WORD}; nbytes -= {WORD}) {{",
            *(f"        {line}" for line in _single_bytes(WORD)),
            "    }",
            "    if (nbytes & 2) {",
            *(f"        {line}" for line in _single_bytes(2)),
            "    }",
            "    if (nbytes & 1) {",
            "        to[0] = from[0];",
            "    }",
            "}",
        ]
        return MicroKernel(self.name, "\n".join(source) + "\n")

    def register(self) -> str:
        """Register the copy as a tensor intrinsic and return its name."""
        return register_move(
            self.name,
            self.nbytes,
            2,
            lambda target, source: self.block(target, (0, 0), source, (0, 0)),
            [self.nbytes],
        )


def _words(nbytes: int, indent: str) -> list[str]:
    """Statements that move whole words between aligned addresses, loads before stores, and step on."""
    places = range(0, nbytes, WORD)
    declared = ", ".join(f"w{place}" for place in places)
    lines = [f"uint32_t {declared};"]
    lines += [f"memcpy(&w{k}, __builtin_assume_aligned(from + {k}, {WORD}), {WORD});" for k in places]
    lines += [f"memcpy(__builtin_assume_aligned(to + {k}, {WORD}), &w{k}, {WORD});" for k in places]
    return [f"{indent}    {line}" for line in (*lines, f"from += {nbytes};", f"to += {nbytes};")]


def _single_bytes(nbytes: int) -> list[str]:
    """Statements that move bytes, loads before stores, and step on."""
    lines = [f"const int8_t {', '.join(f'b{k} = from[{k}]' for k in range(nbytes))};"]
    lines += [f"to[{k}] = b{k};" for k in range(nbytes)]
    return [*lines, f"from += {nbytes};", f"to += {nbytes};"]
