/* Files and program end through semihosting; the same on every family that implements board_semihosting.
 *
 * Operations and argument blocks: "Semihosting for AArch32 and AArch64", Arm. Paths are resolved by the host
 * relative to the emulator's working directory.
 */
#ifndef TINYML_SEMIHOSTING_H
#define TINYML_SEMIHOSTING_H

#include <stdint.h>

enum semihosting_mode { SEMIHOSTING_READ = 1, SEMIHOSTING_WRITE = 5 };

/* Open a file in binary mode; a negative handle means failure. */
intptr_t semihosting_open(const char *path, enum semihosting_mode mode);

/* Read or write exactly `bytes` bytes; 0 on success, else the number of bytes that were not transferred. */
intptr_t semihosting_read(intptr_t file, void *data, uintptr_t bytes);
intptr_t semihosting_write(intptr_t file, const void *data, uintptr_t bytes);

/* Let the next read begin at `position`, in bytes from the start of the file; 0 on success. */
intptr_t semihosting_seek(intptr_t file, uintptr_t position);

void semihosting_close(intptr_t file);

/* End the program with this exit code. */
_Noreturn void semihosting_exit(uintptr_t code);

#endif
