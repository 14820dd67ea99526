"""Depthwise rows of few outputs from a line buffer that holds planes: sums of sixteen channels, then four at a time.

As `depthwise_rows.py`, for rows so narrow that what comes once per channel or per output counts. Lanes of taps outside
of the image are gathered from inside of it and replaced with the border, so that no predicate is set; addresses of the
vectors of a row are part of their offsets. The constants of four channels stay in registers for all their outputs,
of which two are narrowed and scattered together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ...kernel import MicroKernel
from ...parts import Parts
from .assembly import ACCUMULATORS, SAVED_BYTES, add_constant, data, function, restore, save
from .depthwise import LANES, Lanes
from .depthwise_rows import PARAMETERS, Load, PlaneRows, loads_of
from .epilogue import Requantization, correct_ties, narrow
from .ordering import ordered

QUAD = 4
"""Channels that are requantised together. The layer's table is int32[words][4], then a byte for each shift, for each
four of them."""
# Bytes of sums on the stack. The loop over channels computes two at a time.
_SUM_BYTES, _UNROLLED = 512, 2
# The last accumulator counts the loop.
_MAX_OUTPUTS = len(ACCUMULATORS) - 1
_REGISTERS = 8
_MAX_OFFSET = 255
# Distances of pixels times the outputs are offsets of sixteen bits.
_MAX_PITCH = 8192
_WORD = 4
_OUTPUT, _GATHER = ("q0", "q1"), "q2"
# What other pairs than those with places of their own are stored from.
_BASES = ("r12", "r2")


@dataclass(frozen=True)
class Kind:
    """Vectors of taps with the same lanes outside of the image.

    base: place in the plane of the first one's offsets. offsets: of its lanes, those outside moved inside.
    fixes: (instruction, operand's lanes) that put the border where it belongs.
    """

    base: int
    offsets: tuple[int, ...]
    fixes: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class NarrowRows(PlaneRows):
    """Some rows of few outputs."""

    @property
    def name(self) -> str:
        """Name of the micro-kernel."""
        return f"{super().name}_by{QUAD}"

    @cached_property
    def kinds(self) -> dict[int, Kind]:
        """Kinds of vectors, by the mask of their lanes outside of the image."""
        assert self.lanes is not None
        found: dict[int, Kind] = {}
        for load in loads_of(self, self.lanes, 0, self.outputs):
            if load.invalid not in found:
                found[load.invalid] = self._kind(load, self.lanes)
        return found

    def _kind(self, load: Load, lanes: Lanes) -> Kind:
        outside = [bool(load.invalid >> lane & 1) for lane in range(LANES)]
        places = [load.position + offset for offset in lanes.tap_offsets()]
        base = min((place for place, out in zip(places, outside, strict=True) if not out), default=0)
        offsets = tuple(base if out else place for place, out in zip(places, outside, strict=True))

        def fix(name: str, inside: int, border: int) -> tuple[str, tuple[int, ...]]:
            return name, tuple(border if out else inside for out in outside)

        if not load.invalid:
            fixes: tuple[tuple[str, tuple[int, ...]], ...] = ()
        elif self.border == -128:
            fixes = (fix("vmin.s8", 127, -128),)
        elif self.border == 127:
            fixes = (fix("vmax.s8", -128, 127),)
        else:
            fixes = (fix("vand", -1, 0), *((fix("vorr", 0, self.border),) if self.border else ()))
        return Kind(base, offsets, fixes)


def narrow_applies(rows: NarrowRows, channels: int) -> bool:
    """Whether sums fit the accumulators, and everything that stays the registers."""
    lanes = rows.lanes
    if lanes is None or lanes.parts > 1 or rows.outputs > _MAX_OUTPUTS or not QUAD <= channels <= _MAX_PITCH:
        return False
    kept = sum(1 + len(kind.fixes) for kind in rows.kinds.values())
    reach = max(max(kind.offsets) for kind in rows.kinds.values())
    scattered = bool(_scatters(rows)) or rows.outputs == 1
    return lanes.vectors + kept < _REGISTERS and reach <= _MAX_OFFSET and scattered


def narrow_kernel(rows: NarrowRows) -> MicroKernel:
    """Micro-kernel: all outputs of `groups` times four channels; parameters as of `depthwise_rows.rows_kernel`."""
    code = ordered(_code(rows), sources=("r5", "r7", "r9"))
    return function(rows.name, PARAMETERS, [*code, ".balign 4", "8:", *_literals(rows)])


def narrow_parts(rows: NarrowRows, groups: int) -> Parts:
    """Instructions of one call."""
    channel = _channel(rows)
    turns = -(-groups // _most(rows))
    return Parts(
        products=QUAD * groups * (len(channel) + 1 / _UNROLLED),
        outputs=groups * (len(_quad(rows)) + 1),
        calls=len(_prologue(rows))
        + turns * (len(_before_sums(rows)) + len(_before_outputs(rows)) + 2)
        + len(restore(_stack(rows))),
        multiplications=QUAD * groups * sum(line.startswith("vmladav") for line in channel),
    )


def _code(rows: NarrowRows) -> list[str]:
    return [
        *_prologue(rows),
        "1:",
        *_before_sums(rows),
        "2:",
        *_channel(rows) * _UNROLLED,
        "le lr, 2b",
        *_before_outputs(rows),
        "3:",
        *_quad(rows),
        "le lr, 3b",
        f"subs r3, r3, #{_most(rows)}",
        "bgt 1b",
        *restore(_stack(rows)),
    ]


def _literals(rows: NarrowRows) -> list[str]:
    """Offsets and operands of the kinds of vectors, offsets of sums, and channels and pixels of a pair's lanes."""
    code = []
    for kind in rows.kinds.values():
        code += data(kind.offsets, 1)
        for _, lanes in kind.fixes:
            code += data(lanes, 1)
    step = QUAD * rows.outputs * _WORD
    code += data([lane * rows.outputs * _WORD - step for lane in range(QUAD)], 4)
    if rows.outputs > 1:
        code += data([lane // 2 for lane in range(2 * QUAD)], 2)
        code += data([lane % 2 for lane in range(2 * QUAD)], 2)
    return code


def _vectors(rows: NarrowRows) -> dict[int, tuple[str, tuple[str, ...]]]:
    """Registers of offsets and of the operands of fixes of every kind."""
    assert rows.lanes is not None
    free = iter(range(_REGISTERS - 1, rows.lanes.vectors, -1))
    return {
        mask: (f"q{next(free)}", tuple(f"q{next(free)}" for _ in kind.fixes))
        for mask, kind in rows.kinds.items()
    }


def _literal(rows: NarrowRows) -> int:
    """Bytes of the literals before the offsets of sums."""
    return LANES * sum(1 + len(kind.fixes) for kind in rows.kinds.values())


def _most(rows: NarrowRows) -> int:
    """Fours of channels whose sums lie on the stack."""
    return max(1, _SUM_BYTES // (QUAD * rows.outputs * _WORD))


def _sums(rows: NarrowRows) -> int:
    """Bytes on the stack before the sums: addresses of sums, places of pairs. A count comes after the sums."""
    return LANES * (1 + len(_scatters(rows)))


def _stack(rows: NarrowRows) -> int:
    return _sums(rows) + _most(rows) * QUAD * rows.outputs * _WORD + _WORD


def _constants(how: Requantization) -> dict[str, str]:
    """Registers of the constants of four channels."""
    return {name: f"q{3 + index}" for index, name in enumerate((*how.words, "shift"))}


def _scatters(rows: NarrowRows) -> list[str]:
    """Registers of the places of pairs of outputs, for the first pairs."""
    how = rows.tile.requantization
    free = range(3 + len(_constants(how)), _REGISTERS - how.needs_temporary)
    return [f"q{index}" for index in free][: rows.outputs // 2]


def _prologue(rows: NarrowRows) -> list[str]:
    arguments, at = _stack(rows) + SAVED_BYTES, _literal(rows)
    code = [*save(_stack(rows)), "mov r7, r0", "mov r9, r1", "mov r5, r2", "mov r11, r3"]
    code += [f"ldrd r3, r4, [sp, #{arguments}]", "adr.w r0, 8f", f"add r1, sp, #{_sums(rows)}"]
    code += [f"vldrw.u32 q0, [r0, #{at}]", "vadd.i32 q0, q0, r1", "vstrw.32 q0, [sp]"]
    if rows.outputs > 1:
        code += [f"vldrw.u32 q0, [r0, #{at + LANES}]", f"vldrw.u32 q1, [r0, #{at + 2 * LANES}]"]
        code += ["vmul.i16 q1, q1, r4", "vadd.i16 q0, q0, q1", "lsl r4, r4, #1"]
        for index in range(len(_scatters(rows))):
            code += ["vadd.i16 q0, q0, r4"] if index else []
            code += [f"vstrw.32 q0, [sp, #{LANES * (1 + index)}]"]
    return code


def _before_sums(rows: NarrowRows) -> list[str]:
    most, code, at = _most(rows), ["adr.w r0, 8f"], 0
    for offsets, operands in _vectors(rows).values():
        for vector in (offsets, *operands):
            code.append(f"vldrw.u32 {vector}, [r0, #{at}]")
            at += LANES
    code += [f"add r1, sp, #{_sums(rows)}", f"movs r0, #{most}", f"cmp r3, #{most}", "it lt", "movlt r0, r3"]
    code += [f"str r0, [sp, #{_stack(rows) - _WORD}]", f"lsl r0, r0, #{(QUAD // _UNROLLED).bit_length() - 1}"]
    return [*code, "dls lr, r0"]


def _channel(rows: NarrowRows) -> list[str]:
    """Sums of one channel; r7 at its plane, r9 at its weights, r1 at its sums."""
    lanes, vectors = rows.lanes, _vectors(rows)
    assert lanes is not None
    step = lanes.sharing_step if lanes.outputs > 1 else 0
    code = [f"vldrb.u8 q{k}, [r9, #{-k * step}]" for k in range(lanes.vectors - 1, 0, -1)]
    code.append(f"vldrb.u8 q0, [r9], #{LANES}")
    first: dict[int, int] = {}
    taps, moved = f"q{lanes.vectors}", 0
    for load in loads_of(rows, lanes, 0, rows.outputs):
        place = load.position - first.setdefault(load.invalid, load.position)
        code += add_constant("r7", place - moved)
        moved = place
        offsets, operands = vectors[load.invalid]
        code.append(f"vldrb.u8 {taps}, [r7, {offsets}]")
        fixes = rows.kinds[load.invalid].fixes
        code += [f"{name} {taps}, {taps}, {x}" for (name, _), x in zip(fixes, operands, strict=True)]
        for output, weights, _ in load.products:
            code.append(f"vmladav.s8 {ACCUMULATORS[output]}, {taps}, q{weights}")
    filled = ACCUMULATORS[: rows.outputs]
    code.append(f"stm r1!, {{{', '.join(filled)}}}" if len(filled) > 1 else "str r0, [r1], #4")
    return [*code, *add_constant("r7", rows.tile.size - moved)]


def _before_outputs(rows: NarrowRows) -> list[str]:
    """r11 output, r4 that of a last output without a partner, r6 zero point, r8 one; places of sums and pairs."""
    how, outputs, scatters = rows.tile.requantization, rows.outputs, _scatters(rows)
    code = [f"ldrd r4, r6, [sp, #{_stack(rows) + SAVED_BYTES + 4}]"]
    code += ["movs r8, #1"] if how.kind == "sign" else []
    for index, vector in enumerate((_GATHER, *scatters)):
        code.append(f"vldrw.u32 {vector}, [sp, #{LANES * index}]")
    for pair, base in zip(range(len(scatters), outputs // 2), _BASES, strict=False):
        code += [f"movs r0, #{2 * pair}", f"mla {base}, r0, r4, r11"]
    code += [f"movs r0, #{outputs - 1}", "mla r4, r0, r4, r11"] if outputs % 2 else []
    return [*code, f"ldr r0, [sp, #{_stack(rows) - _WORD}]", "dls lr, r0"]


def _quad(rows: NarrowRows) -> list[str]:
    """All outputs of four channels."""
    how, outputs = rows.tile.requantization, rows.outputs
    constants, scatters = _constants(how), _scatters(rows)
    temporary = f"q{_REGISTERS - 1}"
    code = [f"vldrw.u32 {constants[name]}, [r5], #16" for name in how.words]
    code.append(f"vldrb.s32 {constants['shift']}, [r5], #{QUAD}")
    bases = dict(zip(range(len(scatters), outputs // 2), _BASES, strict=False))
    for start in range(0, outputs, 2):
        vectors = _OUTPUT[: min(2, outputs - start)]
        for index, x in enumerate(vectors):
            # The first sums of four channels move the addresses to these four.
            offset = f"#{QUAD * outputs * _WORD}]!" if start + index == 0 else f"#{_WORD * (start + index)}]"
            code.append(f"vldrw.u32 {x}, [{_GATHER}, {offset}")
        code += [f"vadd.i32 {x}, {x}, {constants['bias']}" for x in vectors]
        code += [f"vqrdmulh.s32 {x}, {x}, {constants['multiplier']}" for x in vectors]
        code += correct_ties(vectors, "r8") if how.kind == "sign" else []
        if how.kind == "fit":
            code += [f"vadd.i32 {x}, {x}, {constants['addend']}" for x in vectors]
        shift = "vshl" if how.kind == "fit" else "vrshl"
        code += [f"{shift}.s32 {x}, {x}, {constants['shift']}" for x in vectors]
        low, high, *rest = narrow(how, *_OUTPUT, temporary, "r6")
        code += [low, *([high] if len(vectors) > 1 else []), *rest]
        if len(vectors) == 1:
            code.append(f"vstrb.32 {_OUTPUT[0]}, [r4], #{QUAD}")
        elif start // 2 in bases:
            base = bases[start // 2]
            code += [f"vstrb.16 {_OUTPUT[0]}, [{base}, {scatters[0]}]", f"adds {base}, {base}, #{QUAD}"]
        else:
            code.append(f"vstrb.16 {_OUTPUT[0]}, [r11, {scatters[start // 2]}]")
    return [*code, f"adds r11, r11, #{QUAD}"]
