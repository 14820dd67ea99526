"""Line buffers hold every row when it is read: the order and the capacities, replayed with tagged rows."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_tinyml.patch.geometry import Operation, Read, Sliding
from tvm_tinyml.patch.rows import Readers, RowStream, stream_rows

SAME = Sliding(1, 0, 1)


def operation(output: str, height: int, rows: int, *reads: tuple[str, Sliding]) -> Operation:
    return Operation(
        output, output, height, 8, rows, tuple(Read(name, window, SAME) for name, window in reads)
    )


def run_tagged(operations: list[Operation], stream: RowStream) -> None:
    """Run the order on buffers that remember which row each of their places holds."""
    assert all(buffer.rows >= buffer.above for buffer in stream.buffers.values())
    readers = Readers(operations)
    done = [0] * len(operations)
    first = {tensor: -buffer.above for tensor, buffer in stream.buffers.items()}
    held = {
        tensor: list(range(-buffer.above, 0)) + [None] * (buffer.rows - buffer.above)
        for tensor, buffer in stream.buffers.items()
    }
    for event in stream.events:
        index, rows = event.operation, operations[event.operation].rows
        for read in () if event.fills else operations[index].reads:
            if read.tensor in held:
                begin = read.rows.begin(done[index])
                place = begin - first[read.tensor]
                wanted = list(range(begin, begin + read.rows.span(rows)))
                assert place >= 0
                assert held[read.tensor][place : place + len(wanted)] == wanted
        tensor, count = operations[index].output, 1 if event.fills else rows
        if tensor in held:
            if done[index] + count - first[tensor] > stream.buffers[tensor].rows:
                kept = min(readers.keep(tensor, done), done[index])
                moved = held[tensor][kept - first[tensor] : done[index] - first[tensor]]
                held[tensor][: len(moved)] = moved
                first[tensor] = kept
            place = done[index] - first[tensor]
            assert place + count <= stream.buffers[tensor].rows
            held[tensor][place : place + count] = range(done[index], done[index] + count)
        done[index] = done[index] + 1 if event.fills else min(done[index] + rows, operations[index].height)


def test_a_chain_of_windows_keeps_their_height_in_rows() -> None:
    window = Sliding(1, -1, 3)
    chain = [
        operation("a", 9, 1, ("x", window)),
        operation("b", 9, 1, ("a", window)),
        operation("c", 9, 1, ("b", SAME)),
    ]
    stream = stream_rows(chain)
    assert {tensor: buffer.rows for tensor, buffer in stream.buffers.items()} == {"a": 3, "b": 1}
    assert Counter(event.operation for event in stream.events if not event.fills) == {0: 9, 1: 9, 2: 9}
    assert [event.operation for event in stream.events if event.fills] == [0]
    run_tagged(chain, stream)


def test_rows_above_the_image_that_only_small_windows_see_have_their_place() -> None:
    stream = stream_rows([operation("a", 9, 1, ("x", SAME)), operation("b", 11, 1, ("a", Sliding(1, -2, 1)))])
    assert (stream.buffers["a"].rows, stream.buffers["a"].above) == (2, 2)


def test_a_residual_keeps_the_rows_that_the_longer_way_still_needs() -> None:
    block = [
        operation("a", 9, 1, ("x", SAME)),
        operation("b", 9, 1, ("a", Sliding(1, -1, 3))),
        operation("c", 9, 1, ("a", SAME), ("b", SAME)),
    ]
    stream = stream_rows(block)
    assert stream.buffers["a"].rows == 3
    run_tagged(block, stream)


@st.composite
def regions(draw: st.DrawFn) -> list[Operation]:
    """Chains with residuals, any stride, dilation and padding, calls that go beyond the image."""
    height = draw(st.integers(5, 17))
    operations: list[Operation] = []
    tensors = [("x", height)]
    for index in range(draw(st.integers(1, 5))):
        source, rows = tensors[-1]
        extent, stride, before = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
        made = max(1, (rows + before + draw(st.integers(0, 2)) - extent) // stride + 1)
        reads = [(source, Sliding(stride, -before, extent))]
        if stride == 1:
            reads += [(name, SAME) for name, other in tensors if other == made][: draw(st.integers(0, 1))]
        operations.append(operation(f"t{index}", made, min(made, draw(st.integers(1, 4))), *reads))
        tensors.append((f"t{index}", made))
    read = {source.tensor for one in operations for source in one.reads}
    return [one for one in operations if one.output in read or one is operations[-1]]


@given(regions())
@settings(max_examples=150, deadline=None)
def test_rows_are_there_when_they_are_read(operations: list[Operation]) -> None:
    run_tagged(operations, stream_rows(operations))


@pytest.mark.parametrize("rows", [1, 2, 3, 9])
def test_calls_make_every_row_once_and_at_most_one_call_goes_beyond_the_image(rows: int) -> None:
    stream = stream_rows([operation("a", 9, rows, ("x", SAME)), operation("b", 9, 2, ("a", SAME))])
    calls = Counter(event.operation for event in stream.events if not event.fills)
    assert calls == {0: -(-9 // rows), 1: 5}


def test_rows_that_only_stand_for_padding_are_never_made() -> None:
    """The one window of the reader lies above the image: its line buffer holds padding, and nothing calls the maker."""
    operations = [operation("made", 1, 1), operation("read", 1, 1, ("made", Sliding(1, -2, 2)))]
    stream = stream_rows(operations)
    assert [event.operation for event in stream.events] == [1]
    assert stream.buffers["made"].rows == 2
    assert stream.write_slots == {0: frozenset()}
    run_tagged(operations, stream)


def test_what_is_never_made_reads_nothing_either() -> None:
    operations = [
        operation("first", 1, 1),
        operation("made", 1, 1, ("first", Sliding(1, 0, 1))),
        operation("read", 1, 1, ("made", Sliding(1, -2, 2))),
    ]
    stream = stream_rows(operations)
    assert [event.operation for event in stream.events] == [2]
    assert stream.read_slots[1, "first"] == frozenset()
    assert stream.write_slots == {0: frozenset(), 1: frozenset()}
