/* Trap report of RV32 machine mode: the cause registers of the privileged architecture manual. */
#include <stdint.h>

#include "board.h"

extern uint32_t stack_limit[];

_Noreturn void trap_report(uintptr_t stack_pointer, uintptr_t return_address, uintptr_t mcause, uintptr_t mepc,
                           uintptr_t mtval);

_Noreturn void trap_report(uintptr_t stack_pointer, uintptr_t return_address, uintptr_t mcause, uintptr_t mepc,
                           uintptr_t mtval) {
    fault_begin();
    fault_register("mcause", mcause);
    fault_register("mepc", mepc);
    fault_register("mtval", mtval);
    fault_register("ra", return_address);
    fault_register("sp", stack_pointer);
    fault_register("splimit", (uintptr_t)stack_limit);
    fault_finish();
}
