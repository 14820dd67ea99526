/*
 * Has an Arm Ethos-U run a network, through the public interface of Arm's ethos-u-core-driver, which the firmware brings
 * and initialises. The driver cleans and invalidates the data cache for the memory that is given to it, by its weak
 * functions ethosu_flush_dcache and ethosu_invalidate_dcache, which firmware for a core with a cache defines.
 */
#ifndef TINYML_NPU_H
#define TINYML_NPU_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As in the driver's own header, which need not be at hand where generated code is compiled. */
struct ethosu_driver;
struct ethosu_driver *ethosu_reserve_driver(void);
void ethosu_release_driver(struct ethosu_driver *drv);
int ethosu_invoke_v3(struct ethosu_driver *drv, const void *custom_data_ptr, const int custom_data_size,
                     uint64_t *const base_addr, const size_t *base_addr_size, const int num_base_addr,
                     void *user_arg);

/*
 * Whether an NPU was initialised; the firmware defines it. Without one ethosu_reserve_driver would wait forever, so it
 * is not called then.
 */
int tinyml_npu_present(void);

#ifdef __cplusplus
}
#endif

/* Returned where there is no NPU to be had; what the driver returns is not less than -3. */
enum { TINYML_NPU_ABSENT = -100 };

/* Moves bytes to the same or a lower address; what lies in one place is not touched. */
static inline void tinyml_npu_move(int8_t *to, const void *from, uint32_t bytes)
{
    const int8_t *next = (const int8_t *)from;
    uint32_t i = 0;
    if (next == to)
        return;
    for (; i + 4 <= bytes; i += 4) {
        uint32_t word;
        memcpy(&word, next + i, 4);
        memcpy(to + i, &word, 4);
    }
    for (; i < bytes; i++)
        to[i] = next[i];
}

/*
 * Runs a payload of Vela. Regions are weights, memory of the network, and fast memory, for which the end of the block
 * stands in where the driver was not given any by ethosu_init.
 */
static inline int tinyml_npu_run(const void *payload, int payload_bytes, const void *weights, size_t weight_bytes,
                                 int8_t *block, size_t scratch_bytes, size_t fast_bytes)
{
    uint64_t base[3];
    const size_t size[3] = {weight_bytes, scratch_bytes, fast_bytes};
    struct ethosu_driver *driver = tinyml_npu_present() ? ethosu_reserve_driver() : NULL;
    int status;
    if (driver == NULL)
        return TINYML_NPU_ABSENT;
    base[0] = (uint64_t)(uintptr_t)weights;
    base[1] = (uint64_t)(uintptr_t)block;
    base[2] = (uint64_t)(uintptr_t)(block + scratch_bytes);
    status = ethosu_invoke_v3(driver, payload, payload_bytes, base, size, 3, NULL);
    ethosu_release_driver(driver);
    return status;
}

#endif
