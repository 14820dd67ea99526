/* Fault report: the family's handler records registers by name, the host reads them from a text file.
 *
 * One line per register: its name, a space, eight hexadecimal digits.
 */
#include <stdint.h>

#include "board.h"
#include "semihosting.h"

enum { DIGITS = 8, LINE_BYTES = 20, FAULT_EXIT_CODE = 3 };

static intptr_t report_file;

void fault_begin(void) {
    report_file = semihosting_open("fault.txt", SEMIHOSTING_WRITE);
}

void fault_register(const char *name, uintptr_t value) {
    char line[LINE_BYTES];
    uint32_t length = 0;
    while (*name != '\0' && length < LINE_BYTES - DIGITS - 2) {
        line[length++] = *name++;
    }
    line[length++] = ' ';
    for (int shift = 4 * (DIGITS - 1); shift >= 0; shift -= 4) {
        line[length++] = "0123456789abcdef"[(value >> shift) & 0xFu];
    }
    line[length++] = '\n';
    semihosting_write(report_file, line, length);
}

_Noreturn void fault_finish(void) {
    semihosting_close(report_file);
    semihosting_exit(FAULT_EXIT_CODE);
}
