"""Disassembly to test with: as llvm-objdump 19 prints it, with counts of a made-up execution."""

from __future__ import annotations

from tvm_tinyml.profile.listing import Stretch, parse_listing

ARM = """
tiny.elf:\tfile format elf32-littlearm

Disassembly of section .text:

00000100 <tiny_run>:
     100:      \tpush\t{r4, lr}
     102:      \tbl\t0x120 <tiny_scale>        @ imm = #0x1a
     106:      \tpop\t{r4, pc}

00000120 <tiny_scale>:
     120:      \tldr\tr3, [pc, #0x18]         @ 0x13c <tiny_scale+0x1c>
     122:      \tcmp\tr2, #0x0
     124:      \tite\tle
     126:      \trsble\tr4, r2, r3
     128:      \tmovgt\tr4, #0x1
     12a:      \tsubs\tr2, #0x1
     12c:      \tbne\t0x122 <tiny_scale+0x2> @ imm = #-0xe
     12e:      \tbl\t0x200 <memset>           @ imm = #0xce
     132:      \tbx\tlr
     134:      \tnop
     136: 00 bf        \t.short\t0xbf00
     138: 01 00 00 00  \t.word\t0x00000001
     13c:      \tb.w\t0x120 <tiny_scale>      @ imm = #-0x20
"""
ARM_COUNTS = {
    **dict.fromkeys((0x100, 0x102, 0x106, 0x120, 0x12E, 0x132), 1),
    **dict.fromkeys((0x122, 0x124, 0x126, 0x128, 0x12A, 0x12C), 10),
}


def arm_listing() -> tuple[Stretch, ...]:
    """The parsed Arm disassembly."""
    return parse_listing(ARM)
