/*
 * Guard words around memory: set once, looked at later. What lies beyond the arena or at the end of the stack is the
 * application's, so the application says where; 16 bytes before and behind an arena, or at a stack's limit, are enough
 * to see that something wrote past it.
 *
 * C99, also C++. Nothing of this is in an image that does not call it.
 */
#ifndef TINYML_GUARD_H
#define TINYML_GUARD_H

#include <stdint.h>

enum { TINYML_GUARD_BYTES = 16 };

/* The pattern of a word at a place: different for every word, so that a block copied over a guard is seen. */
static inline uint32_t tinyml_guard_word(const volatile uint32_t *place)
{
    return 0xC0DE5AFEu ^ (uint32_t)(uintptr_t)place;
}

/* Writes a guard of TINYML_GUARD_BYTES; memory aligned to 4. */
static inline void tinyml_guard_set(void *memory)
{
    volatile uint32_t *word = (volatile uint32_t *)memory;
    for (int i = 0; i < TINYML_GUARD_BYTES / 4; i++) {
        word[i] = tinyml_guard_word(&word[i]);
    }
}

/* 1 while the guard is as it was set, 0 once anything was written over it. */
static inline int tinyml_guard_intact(const void *memory)
{
    const volatile uint32_t *word = (const volatile uint32_t *)memory;
    for (int i = 0; i < TINYML_GUARD_BYTES / 4; i++) {
        if (word[i] != tinyml_guard_word(&word[i])) {
            return 0;
        }
    }
    return 1;
}

#endif
