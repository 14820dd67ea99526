/* Semihosting file operations on top of the family's trap instruction. */
#include "semihosting.h"

#include "board.h"

enum operation {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_SEEK = 0x0A,
    SYS_EXIT_EXTENDED = 0x20,
};

/* Reason code "application exit" of SYS_EXIT_EXTENDED. */
static const uintptr_t APPLICATION_EXIT = 0x20026u;

intptr_t semihosting_open(const char *path, enum semihosting_mode mode) {
    uintptr_t length = 0;
    while (path[length] != '\0') {
        ++length;
    }
    const uintptr_t arguments[] = {(uintptr_t)path, (uintptr_t)mode, length};
    return board_semihosting(SYS_OPEN, arguments);
}

intptr_t semihosting_read(intptr_t file, void *data, uintptr_t bytes) {
    const uintptr_t arguments[] = {(uintptr_t)file, (uintptr_t)data, bytes};
    return board_semihosting(SYS_READ, arguments);
}

intptr_t semihosting_write(intptr_t file, const void *data, uintptr_t bytes) {
    const uintptr_t arguments[] = {(uintptr_t)file, (uintptr_t)data, bytes};
    return board_semihosting(SYS_WRITE, arguments);
}

intptr_t semihosting_seek(intptr_t file, uintptr_t position) {
    const uintptr_t arguments[] = {(uintptr_t)file, position};
    return board_semihosting(SYS_SEEK, arguments);
}

void semihosting_close(intptr_t file) {
    const uintptr_t arguments[] = {(uintptr_t)file};
    board_semihosting(SYS_CLOSE, arguments);
}

_Noreturn void semihosting_exit(uintptr_t code) {
    const uintptr_t arguments[] = {APPLICATION_EXIT, code};
    for (;;) {
        board_semihosting(SYS_EXIT_EXTENDED, arguments);
    }
}
