/* Reset and faults of Cortex-M (Armv6-M, v7-M, v8-M, v8.1-M), from the Armv7-M and Armv8-M Architecture
 * Reference Manuals. The linker script supplies the memory map.
 */
#include <stdint.h>

#include "board.h"

#if __ARM_ARCH >= 8 || __ARM_ARCH_7M__ || __ARM_ARCH_7EM__
#define HAS_FAULT_STATUS 1
#else
#define HAS_FAULT_STATUS 0
#endif

#define SYSTEM_REGISTER(address) (*(volatile uint32_t *)(address))
#define SCB_CFSR SYSTEM_REGISTER(0xE000ED28u)
#define SCB_HFSR SYSTEM_REGISTER(0xE000ED2Cu)
#define SCB_MMFAR SYSTEM_REGISTER(0xE000ED34u)
#define SCB_BFAR SYSTEM_REGISTER(0xE000ED38u)
#define SCB_CPACR SYSTEM_REGISTER(0xE000ED88u)

/* CP10 and CP11, the floating-point and MVE register file, for every privilege level. */
static const uint32_t CPACR_FULL_FPU_ACCESS = 0xFu << 20;

/* Words the processor pushes on exception entry: R0-R3, R12, LR, return address, xPSR. */
enum { FRAME_WORDS = 8, FRAME_LR = 5, FRAME_PC = 6, FRAME_XPSR = 7 };

extern uint32_t stack_limit[], stack_top[];
extern uint32_t data_start[], data_end[], bss_start[], bss_end[];
extern const uint32_t data_load[];

_Noreturn void fault_report(const uint32_t *frame);

_Noreturn void reset_handler(void);

_Noreturn void reset_handler(void) {
#if HAS_FAULT_STATUS
    /* First of all: the compiler may use vector registers in the copy below. */
    SCB_CPACR |= CPACR_FULL_FPU_ACCESS;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
#ifdef __ARM_ARCH_8M_MAIN__
    __asm__ volatile("msr msplim, %0" ::"r"(stack_limit));
#endif
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
    /* After a stack overflow the frame could not be pushed: there is nothing to read. */
    if (frame >= stack_limit && frame + FRAME_WORDS <= stack_top) {
        fault_register("PC", frame[FRAME_PC]);
        fault_register("LR", frame[FRAME_LR]);
        fault_register("xPSR", frame[FRAME_XPSR]);
    }
    fault_register("splimit", (uintptr_t)stack_limit);
    uint32_t exception;
    __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
    fault_register("IPSR", exception);
#if HAS_FAULT_STATUS
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

typedef void (*vector)(void);

/* Initial stack pointer, reset, then the fourteen other system exceptions. No interrupt is ever enabled. */
__attribute__((section(".vectors"), used)) static const vector vector_table[] = {
    (vector)stack_top, reset_handler, fault_handler, fault_handler, fault_handler, fault_handler,
    fault_handler,     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
    fault_handler,     fault_handler, fault_handler, fault_handler,
};
