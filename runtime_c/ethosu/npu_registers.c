/* Registers, regions and the window of an operation. */
#include "npu_model.h"

bool npu_fail(npu_model *npu, const char *reason)
{
    npu->error = reason;
    return false;
}

bool npu_get(npu_model *npu, enum npu_register number, uint32_t *value)
{
    *value = npu->narrow[number];
    return npu->narrow_set[number] || npu_fail(npu, "a register is read that the stream has not set");
}

bool npu_get_signed(npu_model *npu, enum npu_register number, int32_t *value)
{
    *value = (int16_t)npu->narrow[number];
    return npu->narrow_set[number] || npu_fail(npu, "a register is read that the stream has not set");
}

bool npu_get_wide(npu_model *npu, enum npu_wide_register number, uint64_t *value)
{
    *value = npu->wide[number];
    return npu->wide_set[number] || npu_fail(npu, "a register is read that the stream has not set");
}

bool npu_scale_register(npu_model *npu, enum npu_wide_register number, uint32_t *multiplier, uint32_t *shift)
{
    uint64_t value;
    if (!npu_get_wide(npu, number, &value))
        return false;
    *multiplier = (uint32_t)value;
    *shift = (uint32_t)(value >> 32) & 0x3F;
    return true;
}

bool npu_region(npu_model *npu, enum npu_register number, uint8_t **bytes, size_t *size)
{
    uint32_t region;
    if (!npu_get(npu, number, &region))
        return false;
    if (region >= NPU_REGIONS || npu->region[region] == NULL)
        return npu_fail(npu, "an operation uses a region that has no memory");
    *bytes = npu->region[region];
    *size = npu->region_bytes[region];
    return true;
}

bool npu_get_span(npu_model *npu, enum npu_register region, enum npu_wide_register base, uint64_t length,
                  npu_span *span)
{
    uint8_t *bytes;
    size_t size;
    uint64_t start;
    if (!npu_region(npu, region, &bytes, &size) || !npu_get_wide(npu, base, &start))
        return false;
    if (start > size || length > size - start)
        return npu_fail(npu, "an access leaves its region");
    span->bytes = bytes + start;
    span->size = (size_t)length;
    return true;
}

bool npu_read_kernel(npu_model *npu, npu_kernel *kernel)
{
    uint32_t bits, height, width;
    if (!npu_get(npu, NPU_KERNEL_STRIDE, &bits) || !npu_get(npu, NPU_KERNEL_HEIGHT_M1, &height) ||
        !npu_get(npu, NPU_KERNEL_WIDTH_M1, &width) || !npu_get(npu, NPU_IFM_PAD_TOP, &kernel->top) ||
        !npu_get(npu, NPU_IFM_PAD_LEFT, &kernel->left) || !npu_get(npu, NPU_IFM_PAD_BOTTOM, &kernel->bottom) ||
        !npu_get(npu, NPU_IFM_PAD_RIGHT, &kernel->right))
        return false;
    kernel->dilation_x = 1 + (bits >> 3 & 1);
    kernel->dilation_y = 1 + (bits >> 4 & 1);
    kernel->stride_x = 1 + (bits & 1) + 2 * (bits >> 6 & 7);
    kernel->stride_y = 1 + (bits >> 1 & 1) + 2 * (bits >> 9 & 7);
    kernel->part_kernel_first = (bits & 4) != 0;
    /* SOFTMAX looks for the largest of all its classes in one window. */
    if (height >= 4096 || width >= 4096 || kernel->top >= 256 || kernel->left >= 256 || kernel->bottom >= 256 ||
        kernel->right >= 256)
        return npu_fail(npu, "a window exceeds 4096 elements, or its padding 256");
    if (height % kernel->dilation_y != 0 || width % kernel->dilation_x != 0)
        return npu_fail(npu, "a window is no multiple of its dilation");
    kernel->height = height / kernel->dilation_y + 1;
    kernel->width = width / kernel->dilation_x + 1;
    return true;
}
