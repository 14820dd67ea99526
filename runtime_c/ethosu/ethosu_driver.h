/*
 * The part of the public interface of Arm's ethos-u-core-driver that generated code calls. Firmware for a board with an
 * NPU brings the driver and its own header of this name; this one goes with the functional model.
 */
#ifndef ETHOSU_DRIVER_H
#define ETHOSU_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ethosu_driver;

struct ethosu_driver *ethosu_reserve_driver(void);

void ethosu_release_driver(struct ethosu_driver *drv);

int ethosu_invoke_v3(struct ethosu_driver *drv, const void *custom_data_ptr, const int custom_data_size,
                     uint64_t *const base_addr, const size_t *base_addr_size, const int num_base_addr,
                     void *user_arg);

#ifdef __cplusplus
}
#endif

#endif
