/* Runs the self-tests of two models in turn; they share one arena. */
#include <stdint.h>

#include <tvm_tinyml/arena.h>
#include <zephyr/kernel.h>
#include <zephyr/sys/printk.h>
#include <zephyr/sys/util.h>

#include "digits.h"
#include "digits_selftest.h"
#include "digits_streamed.h"
#include "digits_streamed_selftest.h"

/* What the thread takes beside the inference. */
#define OWN_STACK_BYTES 1024

TVM_TINYML_ARENA_DEFINE(arena, MAX(DIGITS_ARENA_BYTES, DIGITS_STREAMED_ARENA_BYTES));
K_THREAD_STACK_DEFINE(stack, CONFIG_TVM_TINYML_STACK_SIZE + OWN_STACK_BYTES);
static struct k_thread thread;

static void infer(void *first, void *second, void *third)
{
    ARG_UNUSED(first);
    ARG_UNUSED(second);
    ARG_UNUSED(third);
    for (int i = 0; i < 2; i++) {
        printk("digits: %s\n", digits_selftest(arena) == 0 ? "passed" : "failed");
        printk("digits_streamed: %s\n", digits_streamed_selftest(arena) == 0 ? "passed" : "failed");
    }
}

int main(void)
{
    printk("%s and %s on %s\n", digits_version, digits_streamed_version, CONFIG_BOARD);
    printk("arena: %u and %u bytes in %u\n", DIGITS_ARENA_BYTES, DIGITS_STREAMED_ARENA_BYTES,
           (unsigned int)sizeof(arena));
    k_thread_create(&thread, stack, K_THREAD_STACK_SIZEOF(stack), infer, NULL, NULL, NULL, 0, 0, K_NO_WAIT);
    k_thread_join(&thread, K_FOREVER);
    return 0;
}
