/* Calls of a driver that fails in every way there is, and what it was given. */
#include <stdio.h>

#include "tinyml_npu.h"

struct ethosu_driver {
    int reserved;
};

static struct ethosu_driver driver;
static int present, available, status, invoked;
static uint64_t bases[3];
static size_t sizes[3];

int tinyml_npu_present(void) { return present; }

struct ethosu_driver *ethosu_reserve_driver(void)
{
    if (!present)
        for (;;) /* as the driver does without an NPU */
            ;
    if (!available)
        return NULL;
    driver.reserved++;
    return &driver;
}

void ethosu_release_driver(struct ethosu_driver *drv) { drv->reserved--; }

int ethosu_invoke_v3(struct ethosu_driver *drv, const void *payload, const int payload_bytes, uint64_t *const base,
                     const size_t *size, const int count, void *argument)
{
    (void)payload, (void)payload_bytes, (void)argument;
    invoked += drv->reserved;
    for (int i = 0; i < count && i < 3; i++) {
        bases[i] = base[i];
        sizes[i] = size[i];
    }
    return status;
}

static int8_t block[64];
static const uint8_t weights[16];

static int run(void) { return tinyml_npu_run(weights, 16, weights, 16, block, 48, 16); }

int main(void)
{
    int absent = run(), refused, failed, good;
    present = 1;
    refused = run();
    available = 1;
    status = -3;
    failed = run();
    status = 0;
    good = run();
    for (int8_t i = 0; i < 21; i++)
        block[7 + i] = i;
    tinyml_npu_move(block + 4, block + 7, 21);
    printf("%d %d %d %d %d %d %d %d %d\n", absent, refused, failed, good, driver.reserved, invoked,
           bases[1] == (uintptr_t)block && bases[2] == (uintptr_t)(block + 48), (int)(sizes[0] + sizes[1] + sizes[2]),
           block[4] == 0 && block[24] == 20);
    return 0;
}
