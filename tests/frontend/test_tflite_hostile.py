"""Damaged and random files: always one clear error, in bounded time and memory."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from tests.support.mutate import mutations
from tests.support.single_ops import one_case_per_operator
from tvm_tinyml.errors import TinyMLError
from tvm_tinyml.frontend import from_tflite

from .models import DIGITS, convolution

MUTANTS = 2000
# A mutant is at most as large as its original, which takes well under a second on a slow machine.
SECONDS_EACH = 5.0
# Growth of the process over all mutants; one unbounded allocation would be gigabytes.
GROWTH_BYTES = 300 << 20


def _originals() -> Iterator[tuple[str, bytes]]:
    yield "digits", DIGITS.read_bytes()
    for case in one_case_per_operator():
        yield case.id, case.model_bytes


def _try(model: bytes) -> None:
    """Import; any exception but the package's own is a failure of the test."""
    start = time.monotonic()
    with contextlib.suppress(TinyMLError):
        from_tflite(model)
    assert time.monotonic() - start < SECONDS_EACH


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_mutated_files_give_an_error_or_a_module() -> None:
    originals = list(_originals())
    before = _peak_bytes()
    each = -(-MUTANTS // len(originals))
    total = 0
    for seed, (_, model) in enumerate(originals):
        for mutant in mutations(model, each, seed):
            _try(mutant)
            total += 1
    assert total >= MUTANTS
    assert _peak_bytes() - before < GROWTH_BYTES


def test_prefixes_of_a_file_are_handled() -> None:
    model = convolution()
    for length in range(0, len(model), 3):
        _try(model[:length])


@given(st.binary(max_size=400))
def test_random_bytes_behind_a_valid_identifier_are_handled(noise: bytes) -> None:
    _try(b"\x10\0\0\0TFL3" + noise)


@given(st.data())
def test_overwritten_words_are_handled(data: st.DataObject) -> None:
    model = bytearray(convolution())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(model) // 4 - 1)) * 4
        model[position : position + 4] = data.draw(st.binary(min_size=4, max_size=4))
    _try(bytes(model))
