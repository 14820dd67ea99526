"""Functions of one element on contiguous tensors: table lookup and quantisation of floating-point values."""

from __future__ import annotations

from .assembly import function

# A gather of bytes indexes the table with sixteen elements at once; entries in the order of unsigned bytes.
LOOKUP = function(
    "tinyml_mve_lookup",
    ("const void *data", "const int8_t *table", "void *output", "int32_t count"),
    [
        "push {r4, lr}",
        "wlstp.8 lr, r3, 2f",
        "1:",
        "vldrb.u8 q0, [r0], #16",
        "vldrb.u8 q1, [r1, q0]",
        "vstrb.8 q1, [r2], #16",
        "letp lr, 1b",
        "2:",
        "pop {r4, pc}",
    ],
)
LOOKUP_PER_VECTOR = 4 / 16

# Division has no vector form: four scalar ones, then VCVTA rounds ties away from zero, takes NaN to zero and saturates.
# The rest one by one through the same registers.
_NARROW = ["vcvta.s32.f32 q0, q0", "vqmovnb.s32 q0, q0", "vqadd.s16 q0, q0, r3", "vqmovnb.s16 q0, q0"]
QUANTIZE = function(
    "tinyml_mve_quantize",
    ("const float *data", "int8_t *output", "int32_t count", "int32_t zero_point", "int32_t scale"),
    [
        "push {r4, lr}",
        "ldr r4, [sp, #8]",
        "vmov s4, r4",
        "lsrs r4, r2, #2",
        "wls lr, r4, 2f",
        "1:",
        "vldrw.u32 q0, [r0], #16",
        *(f"vdiv.f32 s{lane}, s{lane}, s4" for lane in range(4)),
        *_NARROW,
        "vstrb.32 q0, [r1], #4",
        "le lr, 1b",
        "2:",
        "ands r2, r2, #3",
        "wls lr, r2, 4f",
        "3:",
        "vldmia r0!, {s0}",
        "vdiv.f32 s0, s0, s4",
        *_NARROW,
        "vmov r4, s0",
        "strb r4, [r1], #1",
        "le lr, 3b",
        "4:",
        "pop {r4, pc}",
    ],
)
QUANTIZE_PER_VECTOR = 11 / 4
