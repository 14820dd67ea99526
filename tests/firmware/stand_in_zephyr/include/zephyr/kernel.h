/* The part of Zephyr's kernel interface that our applications use; a thread runs where it is created. */
#ifndef STAND_IN_KERNEL_H
#define STAND_IN_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define __noinit
#define ARG_UNUSED(x) (void)(x)
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define K_THREAD_STACK_DEFINE(name, size) static char name[size]
#define K_THREAD_STACK_SIZEOF(name) sizeof(name)
#define K_NO_WAIT 0
#define K_FOREVER (-1)

struct k_thread {
    int started;
};

#define k_thread_create(thread, stack, size, entry, first, second, third, priority, options, delay)                    \
    ((void)(stack), (thread)->started = 1, entry(first, second, third))
#define k_thread_join(thread, timeout) (void)(timeout)

static inline int k_thread_stack_space_get(const struct k_thread *thread, size_t *unused)
{
    *unused = 1000;
    return thread->started ? 0 : -1;
}

#endif
