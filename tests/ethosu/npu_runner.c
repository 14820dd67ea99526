/* Runs the streams it reads from standard input through the driver's interface; writes what comes out. */
#include <stdio.h>
#include <stdlib.h>

#include "ethosu_driver.h"

static uint8_t *read_bytes(size_t size)
{
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    if (bytes == NULL || fread(bytes, 1, size, stdin) != size)
        exit(1);
    return bytes;
}

int main(void)
{
    uint32_t count, header[9];
    if (fread(&count, sizeof count, 1, stdin) != 1)
        return 1;
    while (count-- > 0) {
        uint8_t *regions[8] = {NULL};
        uint64_t base[8] = {0};
        size_t sizes[8] = {0};
        if (fread(header, sizeof header, 1, stdin) != 1)
            return 1;
        uint8_t *payload = read_bytes(header[0]);
        for (int region = 0; region < 8; region++) {
            sizes[region] = header[1 + region];
            if (sizes[region] > 0) {
                regions[region] = read_bytes(sizes[region]);
                base[region] = (uint64_t)(uintptr_t)regions[region];
            }
        }
        struct ethosu_driver *driver = ethosu_reserve_driver();
        const int32_t code = ethosu_invoke_v3(driver, payload, (int)header[0], base, sizes, 8, NULL);
        ethosu_release_driver(driver);
        fwrite(&code, sizeof code, 1, stdout);
        for (int region = 0; region < 8; region++) {
            if (regions[region] == NULL)
                continue;
            fwrite(regions[region], 1, sizes[region], stdout);
            free(regions[region]);
        }
        free(payload);
    }
    return 0;
}
