/* Reset and faults of Cortex-M (Armv6-M, v7-M, v8-M, v8.1-M), from the Armv7-M and Armv8-M Architecture
 * Reference Manuals. The linker script supplies the memory map.
 */
#include <stdint.h>

#include "board.h"

/* Armv6-M and the Armv8-M baseline have neither fault status registers nor a floating-point unit to switch on. */
#if __ARM_ARCH >= 7 && !defined(__ARM_ARCH_8M_BASE__)
#define IS_MAINLINE 1
#else
#define IS_MAINLINE 0
#endif

#define SYSTEM_REGISTER(address) (*(volatile uint32_t *)(address))
#define SCB_CFSR SYSTEM_REGISTER(0xE000ED28u)
#define SCB_HFSR SYSTEM_REGISTER(0xE000ED2Cu)
#define SCB_MMFAR SYSTEM_REGISTER(0xE000ED34u)
#define SCB_BFAR SYSTEM_REGISTER(0xE000ED38u)
#define SCB_CPACR SYSTEM_REGISTER(0xE000ED88u)
/* CP10 and CP11, the floating-point and MVE register file, for every privilege level. */
#define CPACR_FULL_FPU_ACCESS (0xFu << 20)
#define MPU_TYPE SYSTEM_REGISTER(0xE000ED90u)
#define MPU_CTRL SYSTEM_REGISTER(0xE000ED94u)
#define MPU_RNR SYSTEM_REGISTER(0xE000ED98u)
#define MPU_RBAR SYSTEM_REGISTER(0xE000ED9Cu)
#define MPU_RASR SYSTEM_REGISTER(0xE000EDA0u)

/* Words the processor pushes on exception entry: R0-R3, R12, LR, return address, xPSR. */
enum { FRAME_WORDS = 8, FRAME_LR = 5, FRAME_PC = 6, FRAME_XPSR = 7 };

extern uint32_t stack_limit[], stack_top[];
extern uint32_t data_start[], data_end[], bss_start[], bss_end[];
extern const uint32_t data_load[];

_Noreturn void fault_report(const uint32_t *frame);

#if IS_MAINLINE && __ARM_ARCH >= 8
static void guard_stack(void) {
    __asm__ volatile("msr msplim, %0" ::"r"(stack_limit));
}
#elif IS_MAINLINE
/* An inaccessible memory protection region below the stack: as large as its address allows, at most 1 MiB. */
static void guard_stack(void) {
    enum { MIN_REGION_BITS = 5, MAX_REGION_BITS = 20 };
    const uint32_t REGION_ENABLE = 1u, NEVER_EXECUTE = 1u << 28;
    const uint32_t UNIT_ENABLE = 1u, DEFAULT_MAP_ELSEWHERE = 1u << 2;
    uint32_t limit = (uint32_t)stack_limit;
    uint32_t bits = MAX_REGION_BITS;
    while (bits >= MIN_REGION_BITS && (limit & ((1u << bits) - 1u)) != 0) {
        --bits;
    }
    if (MPU_TYPE != 0 && bits >= MIN_REGION_BITS) {
        MPU_RNR = 0;
        MPU_RBAR = limit - (1u << bits);
        MPU_RASR = NEVER_EXECUTE | ((bits - 1u) << 1) | REGION_ENABLE;
        MPU_CTRL = DEFAULT_MAP_ELSEWHERE | UNIT_ENABLE;
        __asm__ volatile("dsb\n\tisb" ::: "memory");
    }
}
#else
/* Nothing to guard with; below the RAM of these parts is unmapped memory. */
static void guard_stack(void) {}
#endif

_Noreturn void reset_handler(void);

_Noreturn void reset_handler(void) {
#if IS_MAINLINE
    /* First of all: the compiler may use vector registers in the copy below. */
    SCB_CPACR |= CPACR_FULL_FPU_ACCESS;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    guard_stack();
    const uint32_t *source = data_load;
    for (uint32_t *word = data_start; word < data_end; ++word) {
        *word = *source++;
    }
    for (uint32_t *word = bss_start; word < bss_end; ++word) {
        *word = 0;
    }
    harness_main();
}

_Noreturn void fault_report(const uint32_t *frame) {
    fault_begin();
    fault_register("SP", (uintptr_t)frame);
    /* After a stack overflow the frame could not be pushed and SP is at the limit or below it. */
    if (frame > stack_limit && frame + FRAME_WORDS <= stack_top) {
        fault_register("PC", frame[FRAME_PC]);
        fault_register("LR", frame[FRAME_LR]);
        fault_register("xPSR", frame[FRAME_XPSR]);
    }
    fault_register("splimit", (uintptr_t)stack_limit);
    uint32_t exception;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    fault_register("IPSR", exception);
#if IS_MAINLINE
    fault_register("CFSR", SCB_CFSR);
    fault_register("HFSR", SCB_HFSR);
    fault_register("MMFAR", SCB_MMFAR);
    fault_register("BFAR", SCB_BFAR);
#endif
    fault_finish();
}

/* Continues on a fresh stack: the old one may be what failed. */
__attribute__((naked)) static void fault_handler(void) {
    __asm__ volatile(
        "mrs r0, msp\n\t"
        "ldr r1, =stack_top\n\t"
        "mov sp, r1\n\t"
        "bl fault_report\n\t"
        ".ltorg");
}

typedef void (*handler)(void);

struct vector_table {
    uint32_t *initial_stack_pointer;
    handler reset;
    /* NMI, hard fault and the other system exceptions; no interrupt is ever enabled. */
    handler faults[14];
};

__attribute__((section(".vectors"), used)) static const struct vector_table vector_table = {
    stack_top,
    reset_handler,
    {fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler},
};
