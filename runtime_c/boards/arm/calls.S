/* The semihosting trap and the measured model call of Cortex-M, in instructions every Armv6-M core has.
 * Argument passing: "Procedure Call Standard for the Arm Architecture" (r0-r3, then the stack).
 */
#include "board.h"

    .syntax unified
    .thumb
    .text

    .global board_semihosting
    .type board_semihosting, %function
    .thumb_func
board_semihosting:
    bkpt    0xAB
    bx      lr
    .size   board_semihosting, . - board_semihosting

/* int board_call_model(entry r0, arguments r1, count r2, stack_bytes r3) */
    .global board_call_model
    .type board_call_model, %function
    .thumb_func
board_call_model:
    push    {r3, r4, r5, r6, r7, lr}
    mov     r4, sp
    mov     r5, r0

    /* Arguments after the fourth go to the stack, which stays eight-byte aligned. */
    subs    r2, #4
    bls     2f
    lsls    r2, r2, #2
    adds    r3, r2, #7
    lsrs    r3, r3, #3
    lsls    r3, r3, #3
    mov     r6, sp
    subs    r6, r6, r3
    mov     sp, r6
    adds    r1, #16
1:  subs    r2, #4
    ldr     r3, [r1, r2]
    str     r3, [r6, r2]
    bne     1b
    subs    r1, #16
2:
    /* Paint the free stack. */
    ldr     r2, =stack_limit
    ldr     r3, =BOARD_STACK_PATTERN
    mov     r6, sp
    b       4f
3:  stmia   r2!, {r3}
4:  cmp     r2, r6
    blo     3b

    mov     r6, r1
    ldr     r0, [r6, #0]
    ldr     r1, [r6, #4]
    ldr     r2, [r6, #8]
    ldr     r3, [r6, #12]
    blx     r5
    .global board_model_returned
    .type board_model_returned, %function
    .thumb_func
board_model_returned:
    mov     sp, r4

    /* The lowest word that lost its paint is the deepest the call reached. */
    ldr     r1, =stack_limit
    ldr     r3, =BOARD_STACK_PATTERN
    b       6f
5:  adds    r1, #4
6:  cmp     r1, r4
    bhs     7f
    ldr     r2, [r1]
    cmp     r2, r3
    beq     5b
7:  subs    r4, r4, r1
    pop     {r3}
    str     r4, [r3]
    pop     {r4, r5, r6, r7, pc}
    .size   board_call_model, . - board_call_model
    .ltorg
