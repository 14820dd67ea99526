"""Mutations are deterministic, varied, and never the original."""

from __future__ import annotations

import pytest
import tflite

from tests.support.mutate import mutations
from tests.support.single_ops import Network, small_networks

COUNT = 400
SOME_TENSORS, SOME_OPERATORS = 8, 4


@pytest.fixture(params=["residual", "float_edges"])
def network(request: pytest.FixtureRequest) -> Network:
    return next(network for network in small_networks() if network.id == request.param)


def test_the_same_seed_gives_the_same_mutants(network: Network) -> None:
    first = list(mutations(network.model_bytes, COUNT, seed=7))
    assert first == list(mutations(network.model_bytes, COUNT, seed=7))
    assert first[:50] == list(mutations(network.model_bytes, 50, seed=7))
    assert first != list(mutations(network.model_bytes, COUNT, seed=8))


def test_mutants_differ_from_the_original_and_mostly_from_each_other(network: Network) -> None:
    mutants = list(mutations(network.model_bytes, COUNT, seed=0))
    assert len(mutants) == COUNT
    assert network.model_bytes not in mutants
    assert len(set(mutants)) > 0.9 * COUNT


def test_lengths_shrink_grow_and_stay(network: Network) -> None:
    original = len(network.model_bytes)
    lengths = [len(mutant) for mutant in mutations(network.model_bytes, COUNT, seed=0)]
    assert min(lengths) < 64
    assert max(lengths) > original
    assert lengths.count(original) > COUNT / 2


def test_well_placed_mutations_reach_shapes_indices_and_scales(network: Network) -> None:
    """Many mutants still parse, with one field changed to something extreme."""
    shapes: set[int] = set()
    indices: set[int] = set()
    scales: set[float] = set()
    for mutant in mutations(network.model_bytes, COUNT, seed=0):
        if len(mutant) != len(network.model_bytes):
            continue
        try:
            graph = tflite.Model.GetRootAs(mutant, 0).Subgraphs(0)
            for index in range(SOME_TENSORS):
                tensor = graph.Tensors(index)
                shapes.update(tensor.ShapeAsNumpy().tolist())
                if tensor.Quantization() is not None:
                    scales.update(tensor.Quantization().ScaleAsNumpy().tolist())
            for index in range(SOME_OPERATORS):
                indices.update(graph.Operators(index).InputsAsNumpy().tolist())
        except Exception:  # the reader of the schema package has no error of its own for damaged files
            continue
    assert max(shapes) > 2**19 or min(shapes) < 0
    assert max(indices) > 100 or min(indices) < -1
    assert not all(0 < scale < 1e6 for scale in scales)
