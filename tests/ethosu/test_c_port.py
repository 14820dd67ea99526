"""The C model does what the NumPy model does, and neither crashes on a stream that is damaged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.ethosu import c_port
from tests.ethosu.networks import compiled, compiled_all
from tests.support.single_ops import one_case_per_operator
from tvm_tinyml.ethosu import ACCELERATORS, CommandStreamError, CompiledNetwork, run

DIGITS = Path(__file__).parents[1] / "models" / "digits.tflite"
DAMAGED = 200


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    return c_port.build(tmp_path_factory.mktemp("npu"))


def job(network: CompiledNetwork, payload: bytes, seed: int) -> c_port.Job:
    """The network on random memory."""
    generator = np.random.default_rng(seed)
    regions = {
        number: generator.integers(0, 256, size).astype(np.uint8) for number, size in network.scratch.items()
    }
    regions[network.constant_region] = np.frombuffer(network.constants or bytes(16), np.uint8).copy()
    return c_port.Job(payload, regions)


def networks() -> Iterator[CompiledNetwork]:
    cases = [case.model_bytes for case in one_case_per_operator()]
    for position, accelerator in enumerate(ACCELERATORS):
        some = [DIGITS.read_bytes(), *cases[position :: len(ACCELERATORS)]]
        found = list(compiled_all(some, accelerator))
        assert found[0] is not None
        yield from (network for network in found if network is not None)


def test_memory_is_the_same_after_both(program: Path) -> None:
    jobs = [job(network, network.payload, seed) for seed, network in enumerate(networks())]
    results = c_port.run(program, jobs)
    assert len(jobs) > 20
    for work, (code, regions) in zip(jobs, results, strict=True):
        assert code == 0
        run(work.payload, work.regions)
        for number, expected in work.regions.items():
            np.testing.assert_array_equal(regions[number], expected)


def damaged(payload: bytes, seed: int) -> bytes:
    """The payload with a few words changed, cut or repeated."""
    generator = np.random.default_rng(seed)
    words = np.frombuffer(payload, "<u4").copy()
    for _ in range(int(generator.integers(1, 4))):
        place = int(generator.integers(len(words)))
        kind = int(generator.integers(5))
        if kind == 0:
            words[place] ^= np.uint32(1 << int(generator.integers(32)))
        elif kind == 1:
            words[place] = generator.integers(2**32, dtype=np.uint32)
        elif kind == 2:
            words = words[: max(place, 1)]
        elif kind == 3:
            words = np.insert(words, place, words[int(generator.integers(len(words)))])
        else:
            words[place] |= np.uint32(0xFFFF0000)
    return bytes(words)


def test_damaged_streams_are_refused_or_run_but_never_crash(program: Path) -> None:
    network = compiled(DIGITS.read_bytes(), "ethos-u55-128")
    assert network is not None
    jobs = [job(network, damaged(network.payload, seed), seed) for seed in range(DAMAGED)]
    refused = 0
    for work, (code, regions) in zip(jobs, c_port.run(program, jobs), strict=True):
        try:
            run(work.payload, work.regions)
        except CommandStreamError:
            assert code == -1
            refused += 1
            continue
        assert code == 0
        for number, expected in work.regions.items():
            np.testing.assert_array_equal(regions[number], expected)
    assert refused > DAMAGED / 2


def test_damaged_weights_are_refused_or_run_but_never_crash(program: Path) -> None:
    network = compiled(DIGITS.read_bytes(), "ethos-u55-128")
    assert network is not None
    jobs = []
    for seed in range(DAMAGED):
        work = job(network, network.payload, seed)
        constants = work.regions[network.constant_region]
        constants[int(np.random.default_rng(seed).integers(len(constants)))] ^= 0xFF
        jobs.append(work)
    assert {code for code, _ in c_port.run(program, jobs)} <= {0, -1}
