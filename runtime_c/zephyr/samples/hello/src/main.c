/* Runs the self-test of a model once, in a thread with the stack that the model asks for. */
#include <stdint.h>

#include <tvm_tinyml/arena.h>
#include <zephyr/kernel.h>
#include <zephyr/sys/printk.h>

#include "digits.h"
#include "digits_selftest.h"

/* What the thread takes beside the inference. */
#define OWN_STACK_BYTES 512

TVM_TINYML_ARENA_DEFINE(arena, DIGITS_ARENA_BYTES);
K_THREAD_STACK_DEFINE(stack, CONFIG_TVM_TINYML_STACK_SIZE + OWN_STACK_BYTES);
static struct k_thread thread;
static int result;

static void infer(void *first, void *second, void *third)
{
    ARG_UNUSED(first);
    ARG_UNUSED(second);
    ARG_UNUSED(third);
    result = digits_selftest(arena);
}

int main(void)
{
    size_t unused = 0;
    printk("%s on %s\n", digits_version, CONFIG_BOARD);
    k_thread_create(&thread, stack, K_THREAD_STACK_SIZEOF(stack), infer, NULL, NULL, NULL, 0, 0, K_NO_WAIT);
    k_thread_join(&thread, K_FOREVER);
    if (k_thread_stack_space_get(&thread, &unused) == 0) {
        printk("stack: %u of %u bytes\n", (unsigned int)(K_THREAD_STACK_SIZEOF(stack) - unused),
               (unsigned int)K_THREAD_STACK_SIZEOF(stack));
    }
    printk("arena: %u bytes at %p\n", DIGITS_ARENA_BYTES, (void *)arena);
    printk("digits: %s\n", result == 0 ? "passed" : "failed");
    return 0;
}
