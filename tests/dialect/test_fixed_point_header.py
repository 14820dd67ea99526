"""tinyml_fixed_point.h against the NumPy semantics, under the undefined-behaviour sanitizer."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tvm_tinyml.dialect.fixed_functions import count_leading_zeros, exp_negative, reciprocal
from tvm_tinyml.dialect.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    doubling_high_multiply,
    requantize,
    rounding_shift_right,
)
from tvm_tinyml.dialect.relax_api import Array
from tvm_tinyml.resources import data_dir
from tvm_tinyml.schedules.quantize import fit_quotient

DRIVER = Path(__file__).with_name("fixed_point_driver.c")
INCLUDE = data_dir("runtime_c") / "include"
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-pedantic", "-Werror")
SANITIZERS = ("-fsanitize=undefined", "-fno-sanitize-recover=all")
EDGES = np.array(
    [INT32_MIN, INT32_MIN + 1, -(2**30) - 1, -(2**30), -2, -1, 0, 1, 2, 2**30, INT32_MAX - 1, INT32_MAX],
    np.int64,
)
SAMPLES = 20_000


def compiler(*names: str) -> str:
    """Path of the first installed compiler; skips the test when there is none."""
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"none of {', '.join(names)} is installed")


def build(program: Path, command: str, *flags: str) -> Path:
    """Compile the driver; any warning fails the test."""
    done = subprocess.run(
        [command, *flags, *WARNINGS, f"-I{INCLUDE}", str(DRIVER), "-o", str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module", params=[(), ("-D__ARM_ARCH_6M__",)], ids=["general", "armv6m"])
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver with the general arithmetic, and with what the header does without a 64-bit product."""
    folder = tmp_path_factory.mktemp("fixed_point")
    return build(folder / "driver", compiler("gcc"), "-std=c99", "-O1", *SANITIZERS, *request.param)


def run(driver: Path, function: str, *arguments: Array) -> Array:
    """Results of the C function for arguments of equal length."""
    columns = [np.asarray(argument, np.int32) for argument in arguments]
    unused = [np.zeros_like(columns[0])] * (3 - len(columns))
    done = subprocess.run(
        [str(driver), function],
        input=np.stack([*columns, *unused], axis=1).tobytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.int32).astype(np.int64)


def words(seed: int) -> Array:
    """Random int32 values of all magnitudes, and the edges."""
    generator = np.random.default_rng(seed)
    wide = generator.integers(INT32_MIN, INT32_MAX, SAMPLES, endpoint=True)
    return np.concatenate([wide >> generator.integers(0, 31, SAMPLES), np.repeat(EDGES, 40)])


def shifts(count: int, low: int, high: int) -> Array:
    """Random shifts within [low, high]; both ends occur often."""
    drawn = np.random.default_rng(7).integers(low - 2, high + 2, count, endpoint=True)
    return np.clip(drawn, low, high)


def multipliers(count: int) -> Array:
    """Random non-negative multipliers; the ends of the normal range and zero occur often."""
    generator = np.random.default_rng(8)
    drawn = generator.integers(2**30, INT32_MAX, count, endpoint=True)
    special = generator.choice([0, 1, 2**30, 2**30 + 1, INT32_MAX], count)
    return np.where(generator.random(count) < 0.2, special, drawn)


@pytest.mark.parametrize("rounding", ["double", "single", "away"])
def test_requantisation(driver: Path, rounding: str) -> None:
    x = words(1)
    multiplier, shift = multipliers(len(x)), shifts(len(x), -31, 30)
    expected = requantize(x, multiplier, shift, rounding)  # type: ignore[arg-type]
    np.testing.assert_array_equal(run(driver, f"requantize_{rounding}", x, multiplier, shift), expected)


def test_high_product(driver: Path) -> None:
    a, b = words(1), np.roll(words(2), 17)
    np.testing.assert_array_equal(run(driver, "multiply_high", a, b), doubling_high_multiply(a, b))
    every = np.repeat(EDGES, len(EDGES)), np.tile(EDGES, len(EDGES))
    np.testing.assert_array_equal(run(driver, "multiply_high", *every), doubling_high_multiply(*every))


def test_high_word_of_a_product(driver: Path) -> None:
    x = words(1)
    multiplier = multipliers(len(x))
    np.testing.assert_array_equal(run(driver, "multiply_keep_high", x, multiplier), (x * multiplier) >> 32)


def test_saturation(driver: Path) -> None:
    x = np.concatenate([words(3), np.arange(-300, 300)])
    np.testing.assert_array_equal(run(driver, "saturate_int8", x), np.clip(x, -128, 127))


def test_shifts(driver: Path) -> None:
    x = words(1)
    right = shifts(len(x), 0, 31)
    np.testing.assert_array_equal(
        run(driver, "shift_right_rounding", x, right), rounding_shift_right(x, right)
    )
    np.testing.assert_array_equal(run(driver, "shift_left", x, right), (x << right).astype(np.int32))
    left = shifts(len(x), 0, 30)
    saturated = np.clip(x << left, INT32_MIN, INT32_MAX)
    np.testing.assert_array_equal(run(driver, "shift_left_saturating", x, left), saturated)


@pytest.mark.parametrize(
    ("function", "reference", "low", "high"),
    [
        ("exp_negative", exp_negative, INT32_MIN, 0),
        ("reciprocal", reciprocal, 1, INT32_MAX),
        ("count_leading_zeros", count_leading_zeros, 0, INT32_MAX),
    ],
)
def test_functions(
    driver: Path, function: str, reference: Callable[[Array], Array], low: int, high: int
) -> None:
    powers = 2 ** np.arange(31)
    x = np.concatenate([words(3), powers, powers - 1, -powers])
    x = x[(low <= x) & (x <= high)]
    np.testing.assert_array_equal(run(driver, function, x), reference(x))


def test_conversions_between_float_and_integer(driver: Path) -> None:
    generator = np.random.default_rng(5)
    special = [
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.5,
        -2.5,
        0.49999997,
        -0.49999997,
        131072.0,
        1e30,
        -1e30,
        np.inf,
        -np.inf,
        np.nan,
    ]
    x = np.concatenate([generator.normal(0, 300, SAMPLES), special]).astype(np.float32)
    for scale in np.array([1.0, 0.25, 0.0173, 1e-30, 1e30], np.float32):
        with np.errstate(over="ignore"):
            quotient = np.clip(np.nan_to_num(x / scale), -131072.0, 131072.0).astype(np.float64)
        expected = np.copysign(np.floor(np.abs(quotient) + 0.5), quotient)
        pattern = np.full(len(x), scale.view(np.int32))
        np.testing.assert_array_equal(run(driver, "quantize", x.view(np.int32), pattern), expected)
        q = generator.integers(-70_000, 70_000, len(x))
        bits = run(driver, "dequantize", q, pattern).astype(np.int32)
        np.testing.assert_array_equal(bits.view(np.float32), q.astype(np.float32) * scale)


@pytest.mark.parametrize("scale", [1 / 255, 0.0078393072, 1.0, 0.5, 1 / 3, 3.7e-6, 123.4])
def test_integer_quotients_step_where_single_precision_does(driver: Path, scale: float) -> None:
    quotient = fit_quotient(scale)
    assert quotient is not None
    half_steps = ((np.arange(-300, 301) + 0.5) * np.float64(np.float32(scale))).astype(np.float32)
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-40, 3e38, -3e38], np.float32)
    bits = np.concatenate(
        [
            words(4).astype(np.int32),
            *(half_steps.view(np.int32) + ulps for ulps in (-2, -1, 0, 1, 2)),
            special.view(np.int32),
        ]
    )
    with np.errstate(over="ignore", invalid="ignore"):
        real = np.nan_to_num(bits.view(np.float32) / np.float32(scale)).astype(np.float64)
    expected = np.copysign(np.floor(np.abs(real) + 0.5), real)
    constants = (
        np.full(len(bits), value).astype(np.uint32).view(np.int32)
        for value in (quotient.reciprocal, quotient.exponent)
    )
    found = run(driver, "quantize_fixed", bits, *constants)
    np.testing.assert_array_equal(np.clip(found, -256, 256), np.clip(expected, -256, 256))


@pytest.mark.parametrize("optimisation", ["-O0", "-O3"])
def test_clang_accepts_the_header(tmp_path: Path, optimisation: str) -> None:
    build(tmp_path / "driver", compiler("clang", "clang-19"), "-std=c99", optimisation)


def test_the_header_is_valid_cpp(tmp_path: Path) -> None:
    build(tmp_path / "driver", compiler("g++"), "-x", "c++")
