/* What a processor family offers to the harness: semihosting, a measured call of the model, fault output.
 *
 * Implemented once per family in arm/ and riscv/; the harness itself knows no processor.
 */
#ifndef TINYML_BOARD_H
#define TINYML_BOARD_H

/* Pointer arguments of the widest model entry function; the trampolines load at least this many words. */
#define BOARD_REGISTER_ARGUMENTS 8

/* Word written below the stack pointer before the model runs; the first one missing marks the deepest use. */
#define BOARD_STACK_PATTERN 0x5AC3A53C

#ifndef __ASSEMBLER__
#include <stdint.h>

/* Ask the host (debugger or emulator) for a service: "Semihosting for AArch32 and AArch64", Arm;
 * "RISC-V Semihosting" takes the same operation numbers and argument blocks. */
intptr_t board_semihosting(uintptr_t operation, const void *arguments);

typedef void (*board_entry)(void);

/* Call `entry`, whatever its real parameters, with `count` pointer arguments by the family's procedure call
 * standard and return its result. `arguments` must hold at least BOARD_REGISTER_ARGUMENTS words. The free
 * stack is painted before the call; `*stack_bytes` receives the depth the call reached below the stack
 * pointer, arguments on the stack included. The instruction after the call carries the global label
 * board_model_returned. */
int board_call_model(board_entry entry, const void *const *arguments, uintptr_t count, uint32_t *stack_bytes);

/* The harness: reads the inputs, runs the model, writes the results, ends the program. */
_Noreturn void harness_main(void);

/* Fault report: begin it, add registers (name of at most ten characters), write it and end the program. */
void fault_begin(void);
void fault_register(const char *name, uintptr_t value);
_Noreturn void fault_finish(void);

#endif
#endif
