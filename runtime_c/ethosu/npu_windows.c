/* The image that an operation with windows reads. */
#include "npu_model.h"

enum { NEAREST = 1, ZEROS = 2 };

bool npu_image_of(npu_model *npu, const npu_kernel *kernel, const npu_map *output, npu_image *image)
{
    uint32_t depth, upscale;
    if (!npu_get(npu, NPU_IFM_DEPTH_M1, &depth) || !npu_get(npu, NPU_IFM_UPSCALE, &upscale))
        return false;
    if (upscale > ZEROS)
        return npu_fail(npu, "an operation has an unknown way to upscale its input");
    const uint32_t height = (output->height - 1) * kernel->stride_y + (kernel->height - 1) * kernel->dilation_y + 1;
    const uint32_t width = (output->width - 1) * kernel->stride_x + (kernel->width - 1) * kernel->dilation_x + 1;
    if (height <= kernel->top + kernel->bottom || width <= kernel->left + kernel->right)
        return npu_fail(npu, "a feature map is empty");
    image->height = height - kernel->top - kernel->bottom;
    image->width = width - kernel->left - kernel->right;
    image->factor = upscale == 0 ? 1 : 2;
    image->zeros = upscale == ZEROS;
    return npu_input(npu, (image->height + image->factor - 1) / image->factor,
                     (image->width + image->factor - 1) / image->factor, depth + 1, &image->map);
}

bool npu_pixel(const npu_image *image, const npu_kernel *kernel, const uint32_t place[4], uint32_t pixel[2],
               bool *inside)
{
    const int64_t y = (int64_t)place[0] * kernel->stride_y + (int64_t)place[2] * kernel->dilation_y - kernel->top;
    const int64_t x = (int64_t)place[1] * kernel->stride_x + (int64_t)place[3] * kernel->dilation_x - kernel->left;
    *inside = y >= 0 && x >= 0 && y < image->height && x < image->width;
    if (!*inside || (image->zeros && (y % 2 != 0 || x % 2 != 0)))
        return false;
    pixel[0] = (uint32_t)y / image->factor;
    pixel[1] = (uint32_t)x / image->factor;
    return true;
}

bool npu_window(const npu_image *image, const npu_kernel *kernel, const uint32_t place[4], uint32_t channel,
                bool *inside, int64_t *value)
{
    uint32_t pixel[2];
    *value = 0;
    if (!npu_pixel(image, kernel, place, pixel, inside))
        return true;
    if (!npu_load(&image->map, pixel[0], pixel[1], channel, value))
        return false;
    *value -= image->map.zero_point;
    return true;
}
