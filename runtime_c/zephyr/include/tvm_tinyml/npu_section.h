/* Put before the functional model of the Ethos-U: its memory lies where arenas do. */
#include "arena.h"
#define NPU_SECTION TVM_TINYML_ARENA_SECTION
