/* Reset, traps, semihosting and the measured model call of RV32 in machine mode.
 *
 * Sources: "The RISC-V Instruction Set Manual, Volume II: Privileged Architecture" (mstatus, mtvec, physical
 * memory protection), "RISC-V ELF psABI" (a0-a7, then the stack), "RISC-V Semihosting".
 */
#include "board.h"

/* mstatus.FS and mstatus.VS "initial": floating-point and vector state usable; ignored by cores without. */
#define MSTATUS_FS_VS_INITIAL ((1 << 13) | (1 << 9))

/* pmpcfg entry: locked (binds machine mode too), top-of-range, execute and read but no write. */
#define PMP_LOCKED_TOR_READ_EXECUTE (0x80 | 0x08 | 0x04 | 0x01)

    .option arch, +zicsr
    .section .vectors, "ax"
    .global reset_handler
    .type reset_handler, @function
reset_handler:
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    la      sp, stack_top
    la      t0, trap_handler
    csrw    mtvec, t0
    li      t0, MSTATUS_FS_VS_INITIAL
    csrs    mstatus, t0

    /* Nothing below the stack may be written, so that a stack overflow traps at its first store. */
    la      t0, stack_limit
    srli    t0, t0, 2
    csrw    pmpaddr0, t0
    li      t0, PMP_LOCKED_TOR_READ_EXECUTE
    csrw    pmpcfg0, t0

    la      t0, data_load
    la      t1, data_start
    la      t2, data_end
    j       2f
1:  lw      t3, 0(t0)
    sw      t3, 0(t1)
    addi    t0, t0, 4
    addi    t1, t1, 4
2:  bltu    t1, t2, 1b

    la      t1, bss_start
    la      t2, bss_end
    j       4f
3:  sw      zero, 0(t1)
    addi    t1, t1, 4
4:  bltu    t1, t2, 3b
    call    harness_main
    .size   reset_handler, . - reset_handler

/* Continues on a fresh stack: the old one may be what failed. mtvec wants four-byte alignment. */
    .text
    .balign 4
    .type trap_handler, @function
trap_handler:
    mv      a0, sp
    mv      a1, ra
    csrr    a2, mcause
    csrr    a3, mepc
    csrr    a4, mtval
    la      sp, stack_top
    call    trap_report
    .size   trap_handler, . - trap_handler

/* The trap is recognised by this exact sequence of uncompressed instructions, which must not cross a page. */
    .global board_semihosting
    .type board_semihosting, @function
    .balign 16
board_semihosting:
    .option push
    .option norvc
    slli    zero, zero, 0x1f
    ebreak
    srai    zero, zero, 7
    .option pop
    ret
    .size   board_semihosting, . - board_semihosting

/* int board_call_model(entry a0, arguments a1, count a2, stack_bytes a3) */
    .global board_call_model
    .type board_call_model, @function
board_call_model:
    addi    sp, sp, -16
    sw      ra, 12(sp)
    sw      s0, 8(sp)
    sw      s1, 4(sp)
    mv      s0, sp
    mv      s1, a3
    mv      t0, a0
    mv      t1, a1

    /* Arguments after the eighth go to the stack, which stays sixteen-byte aligned. */
    addi    t2, a2, -BOARD_REGISTER_ARGUMENTS
    blez    t2, 2f
    slli    t2, t2, 2
    addi    t3, t2, 15
    andi    t3, t3, -16
    sub     sp, sp, t3
1:  addi    t2, t2, -4
    add     t3, t1, t2
    lw      t4, 32(t3)
    add     t3, sp, t2
    sw      t4, 0(t3)
    bnez    t2, 1b
2:
    /* Paint the free stack. */
    la      t2, stack_limit
    li      t3, BOARD_STACK_PATTERN
    j       4f
3:  sw      t3, 0(t2)
    addi    t2, t2, 4
4:  bltu    t2, sp, 3b

    lw      a0, 0(t1)
    lw      a1, 4(t1)
    lw      a2, 8(t1)
    lw      a3, 12(t1)
    lw      a4, 16(t1)
    lw      a5, 20(t1)
    lw      a6, 24(t1)
    lw      a7, 28(t1)
    jalr    t0
    .global board_model_returned
    .type board_model_returned, @function
board_model_returned:
    mv      sp, s0

    /* The lowest word that lost its paint is the deepest the call reached. */
    la      t2, stack_limit
    li      t3, BOARD_STACK_PATTERN
    j       6f
5:  addi    t2, t2, 4
6:  bgeu    t2, sp, 7f
    lw      t4, 0(t2)
    beq     t4, t3, 5b
7:  sub     t2, sp, t2
    sw      t2, 0(s1)
    lw      s1, 4(sp)
    lw      s0, 8(sp)
    lw      ra, 12(sp)
    addi    sp, sp, 16
    ret
    .size   board_call_model, . - board_call_model
