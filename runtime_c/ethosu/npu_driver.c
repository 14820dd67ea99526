/* The driver's interface over the functional model, linked in place of Arm's driver where there is no NPU. */
#include "ethosu_driver.h"
#include "npu_model.h"

struct ethosu_driver {
    int reserved;
};

/* Firmware may put the model's memory where there is room for it. */
#ifdef NPU_SECTION
static npu_model model __attribute__((section(NPU_SECTION)));
#else
static npu_model model;
#endif
static struct ethosu_driver driver;

/* What generated code asks the firmware. */
int tinyml_npu_present(void);

int tinyml_npu_present(void)
{
    return 1;
}

/* The one driver there is, or NULL while it is taken: nothing here could wait for its release. */
struct ethosu_driver *ethosu_reserve_driver(void)
{
    if (driver.reserved)
        return NULL;
    driver.reserved = 1;
    return &driver;
}

void ethosu_release_driver(struct ethosu_driver *drv)
{
    if (drv != NULL)
        drv->reserved = 0;
}

int ethosu_invoke_v3(struct ethosu_driver *drv, const void *custom_data_ptr, const int custom_data_size,
                     uint64_t *const base_addr, const size_t *base_addr_size, const int num_base_addr,
                     void *user_arg)
{
    (void)user_arg;
    if (drv == NULL || custom_data_ptr == NULL || custom_data_size < 0 || num_base_addr < 0 ||
        num_base_addr > NPU_REGIONS)
        return -1;
    for (int region = 0; region < NPU_REGIONS; region++) {
        const int given = region < num_base_addr;
        model.region[region] = given ? (uint8_t *)(uintptr_t)base_addr[region] : NULL;
        model.region_bytes[region] = given ? base_addr_size[region] : 0;
    }
    return npu_run(&model, custom_data_ptr, (size_t)custom_data_size);
}
