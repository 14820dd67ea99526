/* POOL: maximum, average, and the sum over channels. */
#include "npu_model.h"

enum { MAXIMUM, AVERAGE, REDUCE_SUM };

/* Divides a sum by the number of pixels of a padded window that lie in the image. */
static int64_t divided(int64_t sum, uint32_t count, enum npu_rounding rounding)
{
    uint32_t bits = 0;
    while ((count - 1) >> bits != 0)
        bits++;
    const uint64_t multiplier = (((uint64_t)1 << (31 + bits)) + ((uint64_t)1 << bits)) / count;
    return npu_scaled(sum, (uint32_t)multiplier, 31 + bits, rounding);
}

static bool pooled(const npu_image *image, const npu_kernel *kernel, uint32_t row, uint32_t column, uint32_t first,
                   uint32_t channels, bool maximum, int64_t *value, uint32_t *count)
{
    *value = maximum ? INT64_MIN / 2 : 0;
    *count = 0;
    for (uint32_t y = 0; y < kernel->height; y++)
        for (uint32_t x = 0; x < kernel->width; x++)
            for (uint32_t channel = first; channel < first + channels; channel++) {
                const uint32_t place[4] = {row, column, y, x};
                bool inside;
                int64_t seen;
                if (!npu_window(image, kernel, place, channel, &inside, &seen))
                    return false;
                if (!inside)
                    continue;
                *count += 1;
                if (!maximum)
                    *value += seen;
                else if (seen > *value)
                    *value = seen;
            }
    return true;
}

bool npu_pooling(npu_model *npu, uint32_t kind)
{
    npu_kernel kernel;
    npu_result result;
    npu_image image;
    if (kind > REDUCE_SUM)
        return npu_fail(npu, "an unknown kind of pooling");
    if (!npu_read_kernel(npu, &kernel) || !npu_begin_result(npu, &result) ||
        !npu_image_of(npu, &kernel, &result.map, &image))
        return false;
    const bool sum = kind == REDUCE_SUM, padded = (kernel.top | kernel.left | kernel.bottom | kernel.right) != 0;
    if (result.map.depth != (sum ? 1 : image.map.depth))
        return npu_fail(npu, "a pooling operation has inputs and outputs of different depth");
    for (uint32_t row = 0; row < result.map.height; row++)
        for (uint32_t column = 0; column < result.map.width; column++)
            for (uint32_t channel = 0; channel < result.map.depth; channel++) {
                int64_t value;
                uint32_t count;
                if (!pooled(&image, &kernel, row, column, sum ? 0 : channel, sum ? image.map.depth : 1,
                            kind == MAXIMUM, &value, &count))
                    return false;
                if (kind == AVERAGE && padded && count > 0)
                    value = divided(value, count, result.rounding);
                if (!npu_finish(&result, row, column, channel, value))
                    return false;
            }
    return true;
}
