/* What generated code asks before it waits for an Ethos-U: whether Zephyr has initialised one. */
#include <zephyr/device.h>
#include <zephyr/devicetree.h>

int tinyml_npu_present(void);

int tinyml_npu_present(void)
{
    const struct device *npu = DEVICE_DT_GET_ANY(arm_ethos_u);
    return npu != NULL && device_is_ready(npu);
}
