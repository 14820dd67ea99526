"""SOFTMAX, LOGISTIC, TANH, RELU, RELU6, LEAKY_RELU and HARD_SWISH over scales, zero points and shapes.

Left out because the reference kernels refuse it: a SOFTMAX or LOGISTIC output scale other than 1/256, a
SOFTMAX output zero point other than -128, HARD_SWISH outputs more than 128 times finer than the input.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..tflite_writer import Options
from .case import Case, single_operator
from .quantization import Quantization

# All 256 values of the input type, twice over, so that a random input covers most of the table.
SHAPE = (1, 8, 16, 4)
PROBABILITY = Quantization(1 / 256, -128)


def cases() -> Iterator[Case]:
    """All cases; the first of each operator is its representative."""
    yield from _softmax()
    yield from _logistic_and_tanh()
    yield from _rectifiers()
    yield from _leaky_relu()
    yield from _hard_swish()


def _unary(
    operator: str,
    source: Quantization,
    target: Quantization,
    options: Options | None = None,
    shape: tuple[int, ...] = SHAPE,
    suffix: str = "",
) -> Case:
    case_id = f"{operator.lower()}-{'x'.join(map(str, shape))}-{source.label()}to{target.label()}{suffix}"
    return single_operator(case_id, operator, [source.value(shape)], [target.value(shape)], options)


def _softmax() -> Iterator[Case]:
    shapes: tuple[tuple[int, ...], ...]
    shapes = ((1, 10), (1, 2), (7,), (1, 3, 5), (1, 2, 3, 4), (1, 1, 1, 12), (1, 200), (1, 2, 1, 3, 4))
    for shape in shapes:
        yield _softmax_case(Quantization(0.03, 4), 1.0, shape)
    for index, scale in enumerate((0.0007, 0.01, 0.05, 0.1, 0.25, 0.6)):
        yield _softmax_case(Quantization(scale, (-128, 21, 127)[index % 3]), 1.0, (1, 16, 10))
    for beta in (0.1, 0.5, 2.0, 7.0):
        yield _softmax_case(Quantization(0.03, 4), beta, (1, 16, 10))


def _softmax_case(source: Quantization, beta: float, shape: tuple[int, ...]) -> Case:
    options = Options("SoftmaxOptions", {"beta": beta})
    return _unary("SOFTMAX", source, PROBABILITY, options, shape, f"-beta{beta:g}")


def _logistic_and_tanh() -> Iterator[Case]:
    inputs = [
        Quantization(scale, zero_point)
        for scale, zero_point in zip(
            (0.05, 0.001, 0.0117, 0.03125, 0.0621, 0.1, 0.02, 0.02, 0.7),
            (3, -3, 127, -128, -10, 8, -128, 127, 5),
            strict=True,
        )
    ]
    for source in inputs:
        yield _unary("LOGISTIC", source, PROBABILITY)
    yield _unary("LOGISTIC", inputs[0], PROBABILITY, shape=(1, 37))
    for source in inputs:
        yield _unary("TANH", source, Quantization(1 / 128, 0))
    yield _unary("TANH", inputs[0], Quantization(1 / 128, 0), shape=(1, 5, 7))
    yield _unary("TANH", inputs[0], Quantization(0.011, -20))


def _rectifiers() -> Iterator[Case]:
    pairs = (
        (Quantization(0.05, -3), Quantization(0.03, -128)),
        (Quantization(0.05, -3), Quantization(0.05, -3)),
        (Quantization(0.07, -128), Quantization(0.07, -128)),
        (Quantization(0.07, 40), Quantization(0.11, 60)),
        (Quantization(0.2, 0), Quantization(0.0235, -128)),
        (Quantization(0.02, 50), Quantization(0.9, -20)),
        (Quantization(0.125, 0), Quantization(0.25, 0)),
        # 0.138 / 0.184 is 3/4 in single precision only: rounding ties, or just beside them.
        (Quantization(0.138, 0), Quantization(0.184, -100)),
    )
    for operator in ("RELU", "RELU6"):
        for source, target in pairs:
            yield _unary(operator, source, target)
        for shape in ((1, 37), (1, 5, 7), (19,)):
            yield _unary(operator, *pairs[0], shape=shape)


def _leaky_relu() -> Iterator[Case]:
    pairs = (
        (Quantization(0.05, -3), Quantization(0.04, -60)),
        (Quantization(0.05, 127), Quantization(0.02, 127)),
        (Quantization(0.05, -128), Quantization(0.07, -128)),
        (Quantization(0.5, 0), Quantization(1.0, 0)),
        (Quantization(0.3, 10), Quantization(0.1, 0)),
        (Quantization(0.138, 0), Quantization(0.184, -100)),
    )
    alphas = (0.1, 0.01, 0.2, 0.5, 1.5)
    for source, target in pairs:
        for alpha in alphas if source is pairs[0][0] else (0.1, 0.25):
            options = Options("LeakyReluOptions", {"alpha": alpha})
            yield _unary("LEAKY_RELU", source, target, options, suffix=f"-alpha{alpha:g}")
    negative = Options("LeakyReluOptions", {"alpha": -0.5})
    yield _unary("LEAKY_RELU", Quantization(0.05, 3), Quantization(0.1, -7), negative, suffix="-alpha-0.5")


def _hard_swish() -> Iterator[Case]:
    for scale in (0.05, 0.01, 0.0235, 0.1, 0.4, 0.0005):
        for zero_point, ratio, target_zero_point in ((-3, 0.55, -118), (-128, 1.0, 9), (40, 4.0, -100)):
            source = Quantization(scale, zero_point)
            yield _unary("HARD_SWISH", source, Quantization(scale * ratio, target_zero_point))
    # One table entry of this pair tells single-precision multipliers from double-precision ones.
    yield _unary("HARD_SWISH", Quantization(0.1906, -50), Quantization(0.3556, -43))
    yield _unary("HARD_SWISH", Quantization(0.05, -3), Quantization(0.03, -116), shape=(1, 37))
