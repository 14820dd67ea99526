"""Writing RV32IM micro-kernels: registers, stack frame, labels and the requantisation that all of them share.

x0, sp, gp and tp keep their meaning; the other 28 registers are taken from a pool, arguments first reserved. What is
used of s0-s11 and ra is saved on the stack.
"""

from __future__ import annotations

from dataclasses import dataclass

from .listing import executed

# Loads, stores and additions take constants of twelve bits.
REACH = 2047
ARGUMENTS = tuple(f"a{number}" for number in range(8))
TEMPORARIES = tuple(f"t{number}" for number in range(7))
SAVED = ("ra", *(f"s{number}" for number in range(12)))
WORD = 4
# Stands for the size of the frame, which is known when all registers are.
STACKED = "FRAME"


class OutOfRegistersError(Exception):
    """A micro-kernel needs more registers than there are."""


@dataclass(frozen=True)
class Epilogue:
    """How sums become outputs.

    finer, apart: see `requantize_scalar.ScalarRequantization`. point: its `point`, which functions take as an argument.
    """

    clamp_min: int
    clamp_max: int
    finer: int
    point: int
    apart: bool = False

    @property
    def name(self) -> str:
        """Part of a function's name that tells its instructions."""
        limits = (self.clamp_min, self.clamp_max)
        clamp = "" if limits == (-128, 127) else f"_{self.clamp_min}_{self.clamp_max}".replace("-", "m")
        return f"f{self.finer}{'a' if self.apart else ''}{clamp}"

    @property
    def fine_type(self) -> str:
        """Type of the addend's fine part."""
        return "int16" if self.apart or not self.finer else "int8"

    @property
    def fine_bytes(self) -> int:
        """Bytes of the addend's fine part."""
        return 2 if self.fine_type == "int16" else 1


@dataclass(frozen=True)
class Factors:
    """Registers of what requantises a channel; the shift is the lowest five bits of its register."""

    multiplier: str
    addend: str
    shift: str


def output_instructions(epilogue: Epilogue) -> int:
    """Instructions that turn a sum into an output and store it."""
    asm = Assembly(arguments=0)
    asm.requantize("a0", Factors("a1", "a2", "a3"), ("a4", "a5"), epilogue)
    return executed(asm.split()) + 1


class Assembly:
    """Instructions of one naked function under construction."""

    def __init__(self, arguments: int, slots: int = 0) -> None:
        """arguments: how many of a0-a7 hold arguments; slots: words of stack for the kernel's own use."""
        self._code: list[str] = []
        self._free = [*ARGUMENTS[arguments:], *TEMPORARIES, *SAVED]
        self._saved: list[str] = []
        self._slots = slots
        self._labels = 0

    def take(self) -> str:
        """A register for the rest of the function."""
        if not self._free:
            raise OutOfRegistersError
        register = self._free.pop(0)
        if register in SAVED:
            self._saved.append(register)
        return register

    def give_back(self, *registers: str) -> None:
        """Registers, arguments among them, that `take` may hand out again."""
        self._free = [*registers, *self._free]

    def emit(self, *instructions: str) -> None:
        """Append instructions."""
        self._code += instructions

    def load_argument(self, register: str, index: int) -> None:
        """Load an argument from the ninth on (index 0), which the caller put on the stack."""
        self.emit(f"lw {register}, {STACKED}+{WORD * index}(sp)")

    def save(self, register: str) -> None:
        """Let the function keep a register of its caller that it did not take."""
        if register not in self._saved:
            self._saved.append(register)

    def split(self) -> list[str]:
        """The instructions so far, which become a function of their own that knows this one's registers and slots."""
        code, self._code = self._code, []
        return code

    def label(self) -> int:
        """A new number for a local label."""
        self._labels += 1
        return self._labels

    def add_constant(self, register: str, value: int, scratch: str) -> None:
        """register += value."""
        if value and -REACH <= value <= REACH:
            self.emit(f"addi {register}, {register}, {value}")
        elif value:
            self.emit(f"li {scratch}, {value}", f"add {register}, {register}, {scratch}")

    def take_factors(self, addend: str, epilogue: Epilogue) -> Factors:
        """Registers for the factors of a channel, of which `addend` is one."""
        multiplier = self.take()
        return Factors(multiplier, addend, self.take() if epilogue.apart else multiplier)

    def load_factors(
        self, table: tuple[str, str], channel: int, into: Factors, scratch: str, epilogue: Epilogue
    ) -> None:
        """Load what requantises a channel; the addend's register holds the point before.

        table: registers with the addresses of the channels' words and fine parts.
        """
        words, fine = table
        part = into.shift if epilogue.apart else scratch
        load = "lh" if epilogue.fine_type == "int16" else "lb"
        self.emit(f"lw {into.multiplier}, {2 * WORD * channel + WORD}({words})")
        self.emit(f"{load} {part}, {epilogue.fine_bytes * channel}({fine})")
        # A shift takes the lowest five bits of its register.
        self.emit(f"sll {into.addend}, {into.addend}, {into.shift}", f"srai {into.addend}, {into.addend}, 1")
        if epilogue.apart:
            self.emit(f"srai {scratch}, {part}, 5")
        self.emit(f"add {into.addend}, {into.addend}, {scratch}")

    def requantize(self, x: str, factors: Factors, limits: tuple[str, str], epilogue: Epilogue) -> None:
        """Turn the sum in x into a clamped output. limits: low, high."""
        low, high = limits
        if epilogue.finer:
            self.emit(f"slli {x}, {x}, {epilogue.finer}", f"mulh {x}, {x}, {factors.multiplier}")
            positive = self.label()
            self.emit(
                f"bgez {x}, {positive}f", f"addi {x}, {x}, -{1 << (epilogue.finer - 1)}", f"{positive}:"
            )
        else:
            self.emit(f"mulh {x}, {x}, {factors.multiplier}")
        self.emit(f"add {x}, {x}, {factors.addend}", f"sra {x}, {x}, {factors.shift}")
        below, above = self.label(), self.label()
        self.emit(f"bge {x}, {low}, {below}f", f"mv {x}, {low}", f"{below}:")
        self.emit(f"bge {high}, {x}, {above}f", f"mv {x}, {high}", f"{above}:")

    def lines(self) -> list[str]:
        """The whole function."""
        words = self._slots + len(self._saved)
        frame = -(-WORD * words // 16) * 16
        code = [line.replace(STACKED, str(frame)) for line in self._code]
        places = [
            f"{register}, {WORD * (self._slots + index)}(sp)" for index, register in enumerate(self._saved)
        ]
        enter = [f"addi sp, sp, -{frame}"] if frame else []
        leave = [f"addi sp, sp, {frame}"] if frame else []
        return [
            *enter,
            *(f"sw {place}" for place in places),
            *code,
            *(f"lw {place}" for place in places),
            *leave,
            "ret",
        ]
