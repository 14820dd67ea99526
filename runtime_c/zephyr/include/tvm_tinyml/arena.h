/* Memory for arenas of models, where Kconfig puts it. */
#ifndef TVM_TINYML_ARENA_H
#define TVM_TINYML_ARENA_H

#include <stdint.h>

#include <zephyr/kernel.h>

#if defined(CONFIG_TVM_TINYML_ARENA_DEVICETREE)
#include <zephyr/devicetree.h>
#include <zephyr/linker/devicetree_regions.h>
#define TVM_TINYML_ARENA_SECTION LINKER_DT_NODE_REGION_NAME(DT_CHOSEN(tvm_tinyml_arena))
#elif defined(CONFIG_TVM_TINYML_ARENA_SECTION)
#define TVM_TINYML_ARENA_SECTION CONFIG_TVM_TINYML_ARENA_SECTION_NAME
#else
#define TVM_TINYML_ARENA_SECTION ".noinit.tvm_tinyml"
#endif
#define TVM_TINYML_ARENA_PLACE __attribute__((section(TVM_TINYML_ARENA_SECTION)))

/* The most that any core asks for. */
#define TVM_TINYML_ARENA_ALIGNMENT 16

/* Defines `name`, an arena of `bytes` for this file: a model's _ARENA_BYTES, or the largest of several models that do
 * not run at once. A model with buffers of its caller may need none; it gets a byte. */
#define TVM_TINYML_ARENA_DEFINE(name, bytes)                                                                   \
    static uint8_t name[(bytes) > 0 ? (bytes) : 1] TVM_TINYML_ARENA_PLACE                                      \
        __attribute__((aligned(TVM_TINYML_ARENA_ALIGNMENT)))

#endif
