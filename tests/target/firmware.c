/* Bare-metal probe of a board: do its memory regions exist to the last word, and does the core have the
 * instructions its compiler flags promise? Exit code 0, or the number of the first check that failed.
 * regions.h is generated: ROM_PROBES (declarations), rom_probes[] and ram_words[] with their counts. */
#include <stdint.h>
#include <string.h>

#include "regions.h"

enum { FAULT = 99 };

void reset(void);

#if defined(__riscv)

static void finish(uint32_t code)
{
    *(volatile uint32_t *)0x100000u = code == 0u ? 0x5555u : (code << 16) | 0x3333u;
    for (;;) {
    }
}

/* mtvec catches faults; mstatus.VS turns the vector unit on. */
__asm__(".section .vectors, \"ax\"\n"
        ".option arch, +zicsr\n"
        ".globl entry\n"
        "entry: la sp, stack_top\n"
        "la t0, fault\n"
        "csrw mtvec, t0\n"
        "li t0, 0x600\n"
        "csrs mstatus, t0\n"
        "j reset\n"
        ".text\n");

#else

static void finish(uint32_t code)
{
    const uint32_t exit_block[2] = {0x20026u, code};
    register uint32_t operation __asm__("r0") = 0x20u;
    register const uint32_t *argument __asm__("r1") = exit_block;
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(argument) : "memory");
    for (;;) {
    }
}

extern uint32_t stack_top[];
void fault(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top, (const void *)reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault, (const void *)fault};

#endif

__attribute__((used, aligned(4))) void fault(void)
{
    finish(FAULT);
}

static volatile int32_t seven = 7;

#if defined(__ARM_FP)
static int float_unit_works(void)
{
    volatile float half = 0.5f;
    return half * (float)seven == 3.5f;
}
#endif

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
static int vector_unit_works(void)
{
    return vaddvq_s8(vdupq_n_s8((int8_t)seven)) == 16 * 7;
}
#elif defined(__riscv_vector)
#include <riscv_vector.h>
static int vector_unit_works(void)
{
    return __riscv_vsetvlmax_e8m1() == 16 && __riscv_vmv_x_s_i8m1_i8(__riscv_vmv_v_x_i8m1((int8_t)seven, 16)) == 7;
}
#endif

#if defined(__ARM_FEATURE_DSP)
static int packed_multiply_works(void)
{
    int32_t sum;
    __asm__("smlad %0, %1, %1, %1" : "=r"(sum) : "r"(0x00020003));
    return sum == 0x00020003 + 2 * 2 + 3 * 3;
}
#endif

static void check(void)
{
    uint32_t number = 1u;
    for (unsigned i = 0; i < ROM_PROBE_COUNT; ++i, ++number) {
        if (*rom_probes[i] != 0x600d0000u + i) {
            finish(number);
        }
    }
    for (unsigned i = 0; i < RAM_WORD_COUNT; ++i) {
        *ram_words[i] = 0xc0de0000u + i;
    }
    for (unsigned i = 0; i < RAM_WORD_COUNT; ++i, ++number) {
        if (*ram_words[i] != 0xc0de0000u + i) {
            finish(number);
        }
    }
    /* A 64-bit division and a copy of unknown length: libgcc and the C library must suit the core. */
    char copy[8];
    memcpy(copy, "tinyml", (size_t)seven);
    if ((int64_t)700000000000 / seven != 100000000000 || memcmp(copy, "tinyml", (size_t)seven) != 0) {
        finish(90u);
    }
#if defined(__ARM_FP)
    if (!float_unit_works()) {
        finish(91u);
    }
#endif
#if defined(__ARM_FEATURE_MVE) || defined(__riscv_vector)
    if (!vector_unit_works()) {
        finish(92u);
    }
#endif
#if defined(__ARM_FEATURE_DSP)
    if (!packed_multiply_works()) {
        finish(93u);
    }
#endif
    finish(0u);
}

__attribute__((noreturn)) void reset(void)
{
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20; /* CPACR: the FPU is off after reset. */
    __asm__ volatile("dsb\nisb" : : : "memory");
#endif
    seven = 7;
    check();
    for (;;) {
    }
}
