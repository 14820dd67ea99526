/* The shell commands `digits check` and `digits run [VALUE]`. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <tvm_tinyml/arena.h>
#include <zephyr/kernel.h>
#include <zephyr/shell/shell.h>

#include "digits.h"
#include "digits_selftest.h"

TVM_TINYML_ARENA_DEFINE(arena, DIGITS_ARENA_BYTES);

static int check(const struct shell *sh, size_t argc, char **argv)
{
    ARG_UNUSED(argc);
    ARG_UNUSED(argv);
    const int result = digits_selftest(arena);
    shell_print(sh, "%s: %s", digits_version, result == 0 ? "passed" : "failed");
    return result == 0 ? 0 : -EIO;
}

static int run(const struct shell *sh, size_t argc, char **argv)
{
    const long value = argc > 1 ? strtol(argv[1], NULL, 10) : INT8_MIN;
    if (value < INT8_MIN || value > INT8_MAX) {
        shell_error(sh, "a pixel is %d to %d", INT8_MIN, INT8_MAX);
        return -EINVAL;
    }
    memset(arena + DIGITS_INPUT_0_OFFSET, (int)value, DIGITS_INPUT_0_BYTES);
    const int64_t start = k_uptime_get();
    if (digits_run(arena) != 0) {
        return -EIO;
    }
    const int64_t milliseconds = k_uptime_get() - start;
    const int8_t *scores = (const int8_t *)(arena + DIGITS_OUTPUT_0_OFFSET);
    for (int digit = 0; digit < DIGITS_OUTPUT_0_BYTES; digit++) {
        shell_print(sh, "%d: %d", digit, scores[digit]);
    }
    shell_print(sh, "%d ms", (int)milliseconds);
    return 0;
}

SHELL_STATIC_SUBCMD_SET_CREATE(commands,
    SHELL_CMD_ARG(check, NULL, "Check constants and one inference.", check, 1, 0),
    SHELL_CMD_ARG(run, NULL, "Run on an image of one gray: run [VALUE].", run, 1, 1),
    SHELL_SUBCMD_SET_END);
SHELL_CMD_REGISTER(digits, &commands, "The model digits.", NULL);

int main(void)
{
    return 0;
}
