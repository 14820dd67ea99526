/* CONV and DEPTHWISE: a bias and a scale per channel. */
#include <string.h>

#include "npu_model.h"

enum { PARAMETER_BYTES = 10, SUB_KERNEL = 8, INPUT_MICRO_BLOCK = 8 };

typedef struct {
    npu_model *npu;
    npu_kernel kernel;
    npu_weight_stream stream;
    uint32_t inputs, channels, block, micro_block;
    bool depthwise, wide;
} convolution;

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t rounded_up(uint32_t count, uint32_t group)
{
    return (count + group - 1) / group * group;
}

/* One sub-kernel's weights for a block of output channels and a block of input channels, in the order of the stream. */
static bool read_sub_kernel(convolution *c, uint32_t channel, uint32_t channels, uint32_t input, uint32_t inputs,
                            uint32_t top, uint32_t left)
{
    const npu_kernel *k = &c->kernel;
    const uint32_t rows = least(SUB_KERNEL / k->dilation_y, k->height - top);
    const uint32_t columns = least(SUB_KERNEL / k->dilation_x, k->width - left);
    const uint32_t group = c->depthwise ? 4 : k->part_kernel_first ? (c->wide ? 2 : 4) : 1;
    const uint32_t elements = rounded_up(rows * columns, group), micro = c->depthwise ? 1 : INPUT_MICRO_BLOCK;
    const uint32_t outer = k->part_kernel_first ? inputs : micro, inner = k->part_kernel_first ? micro : inputs;
    for (uint32_t i0 = 0; i0 < outer; i0 += micro)
        for (uint32_t o0 = 0; o0 < channels; o0 += c->micro_block)
            for (uint32_t element = 0; element < elements; element++)
                for (uint32_t i1 = 0; i1 < inner; i1 += micro)
                    for (uint32_t o = o0; o < o0 + c->micro_block; o++)
                        for (uint32_t i = 0; i < micro; i++) {
                            const uint32_t from = input + i0 + i1 + i;
                            int16_t weight;
                            if (!npu_next_weight(c->npu, &c->stream, &weight))
                                return false;
                            if (o >= c->block || channel + o >= c->channels || from >= c->inputs ||
                                element >= rows * columns)
                                continue;
                            const uint32_t y = top + element / columns, x = left + element % columns;
                            c->npu->weights[((o * k->height + y) * k->width + x) * c->inputs + from] = weight;
                        }
    return true;
}

/* Weights of one block of output channels, as (channel, row, column, input channel). */
static bool read_block(convolution *c, uint32_t channel)
{
    const npu_kernel *k = &c->kernel;
    const uint32_t depth = k->part_kernel_first || c->wide ? 16 : 32;
    const uint32_t channels = rounded_up(least(c->block, c->channels - channel), c->micro_block);
    for (uint32_t input = 0; input < c->inputs; input += depth) {
        uint32_t inputs = depth;
        if (c->depthwise)
            inputs = 1;
        else if (k->part_kernel_first)
            inputs = rounded_up(least(depth, c->inputs - input), INPUT_MICRO_BLOCK);
        for (uint32_t top = 0; top < k->height; top += SUB_KERNEL / k->dilation_y)
            for (uint32_t left = 0; left < k->width; left += SUB_KERNEL / k->dilation_x)
                if (!read_sub_kernel(c, channel, channels, input, inputs, top, left))
                    return false;
    }
    return true;
}

/* Products of a pixel of single bytes with weights; 16 of them fit in 32 bits. */
static bool dot(const npu_map *map, const uint32_t pixel[2], const int16_t *weights, uint32_t inputs, int64_t *sum)
{
    for (uint32_t i = 0, count; i < inputs; i += count) {
        const uint8_t *bytes;
        int32_t part = 0;
        count = least(16, inputs - i);
        if (!npu_channels(map, pixel[0], pixel[1], i, &count, &bytes))
            return false;
        if (map->is_signed)
            for (uint32_t j = 0; j < count; j++)
                part += ((int8_t)bytes[j] - map->zero_point) * weights[i + j];
        else
            for (uint32_t j = 0; j < count; j++)
                part += (bytes[j] - map->zero_point) * weights[i + j];
        *sum += part;
    }
    return true;
}

static bool sum_of(const convolution *c, const npu_image *image, uint32_t row, uint32_t column, uint32_t channel,
                   uint32_t in_block, int64_t *sum)
{
    const npu_kernel *k = &c->kernel;
    for (uint32_t y = 0; y < k->height; y++)
        for (uint32_t x = 0; x < k->width; x++) {
            const uint32_t place[4] = {row, column, y, x};
            const int16_t *weights = &c->npu->weights[((in_block * k->height + y) * k->width + x) * c->inputs];
            bool inside;
            if (image->map.bytes == 1 && !c->depthwise) {
                uint32_t pixel[2];
                if (npu_pixel(image, k, place, pixel, &inside) && !dot(&image->map, pixel, weights, c->inputs, sum))
                    return false;
                continue;
            }
            for (uint32_t i = 0; i < c->inputs; i++) {
                int64_t value;
                if (!npu_window(image, k, place, c->depthwise ? channel : i, &inside, &value))
                    return false;
                if (!inside)
                    break;
                *sum += value * weights[i];
            }
        }
    return true;
}

static bool run_block(const convolution *c, const npu_image *image, npu_result *result, npu_span parameters,
                      uint32_t first)
{
    for (uint32_t o = 0; o < c->block && first + o < c->channels; o++) {
        const uint8_t *entry = parameters.bytes + (size_t)(first + o) * PARAMETER_BYTES;
        uint64_t bias = 0;
        uint32_t multiplier;
        memcpy(&bias, entry, 5);
        memcpy(&multiplier, entry + 5, 4);
        for (uint32_t row = 0; row < result->map.height; row++)
            for (uint32_t column = 0; column < result->map.width; column++) {
                int64_t sum = (int64_t)(bias << 24) >> 24;
                if (!sum_of(c, image, row, column, first + o, o, &sum))
                    return false;
                if (!result->global_scale) {
                    sum = npu_scaled(sum, multiplier, entry[9] & 0x3F, result->rounding);
                    if (!npu_finish_scaled(result, row, column, first + o, sum))
                        return false;
                } else if (!npu_finish(result, row, column, first + o, sum)) {
                    return false;
                }
            }
    }
    return true;
}

bool npu_convolution(npu_model *npu, bool depthwise)
{
    convolution c = {.npu = npu, .depthwise = depthwise, .micro_block = npu->macs == 32 ? 4 : 8};
    npu_result result;
    npu_image image;
    npu_span span, parameters;
    uint64_t weight_bytes, parameter_bytes;
    if (!npu_read_kernel(npu, &c.kernel) || !npu_begin_result(npu, &result) ||
        !npu_image_of(npu, &c.kernel, &result.map, &image) || !npu_get(npu, NPU_OFM_BLK_DEPTH_M1, &c.block) ||
        !npu_get_wide(npu, NPU_WEIGHT_LENGTH, &weight_bytes) ||
        !npu_get_wide(npu, NPU_SCALE_LENGTH, &parameter_bytes))
        return false;
    c.block++;
    c.channels = result.map.depth;
    c.inputs = depthwise ? 1 : image.map.depth;
    c.wide = image.map.bytes == 2;
    if (depthwise) {
        c.kernel.part_kernel_first = false;
        if (image.map.depth != c.channels)
            return npu_fail(npu, "a depthwise operation has inputs and outputs of different depth");
    }
    if ((uint64_t)least(c.block, c.channels) * c.kernel.height * c.kernel.width * c.inputs > NPU_WEIGHTS)
        return npu_fail(npu, "the weights of a block exceed NPU_WEIGHTS");
    if (parameter_bytes / PARAMETER_BYTES < c.channels)
        return npu_fail(npu, "channel parameters are missing");
    if (!npu_get_span(npu, NPU_WEIGHT_REGION, NPU_WEIGHT_BASE, weight_bytes, &span) ||
        !npu_get_span(npu, NPU_SCALE_REGION, NPU_SCALE_BASE, (uint64_t)c.channels * PARAMETER_BYTES, &parameters))
        return false;
    npu_open_weights(&c.stream, span);
    for (uint32_t channel = 0; channel < c.channels; channel += c.block)
        if (!read_block(&c, channel) || !run_block(&c, &image, &result, parameters, channel))
            return false;
    return true;
}
