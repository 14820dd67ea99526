/* Feature maps: four tiles, rows of pixels (NHWC) or of bricks of 16 channels (NHCWB16). */
#include <string.h>

#include "npu_model.h"

/* Registers of one operand, by their numbers. */
typedef struct {
    enum npu_register region, precision, zero_point, width0;
    enum npu_wide_register base, stride_x;
    uint32_t size_bit;
} operand;

static bool open_map(npu_model *npu, operand names, uint32_t height, uint32_t width, uint32_t depth, npu_map *map)
{
    uint32_t precision, value;
    uint64_t strides[3];
    map->npu = npu;
    map->height = height;
    map->width = width;
    map->depth = depth;
    if (!npu_region(npu, names.region, &map->region, &map->region_bytes) ||
        !npu_get(npu, names.precision, &precision) || !npu_get_signed(npu, names.zero_point, &map->zero_point))
        return false;
    for (int tile = 0; tile < 4; tile++)
        if (!npu_get_wide(npu, (enum npu_wide_register)(names.base + tile), &map->base[tile]))
            return false;
    for (int axis = 0; axis < 3; axis++)
        if (!npu_get_wide(npu, (enum npu_wide_register)(names.stride_x + axis), &strides[axis]))
            return false;
    /* Strides of 48 bits may be negative. */
    map->stride_x = (int64_t)(strides[0] << 16) >> 16;
    map->stride_y = (int64_t)(strides[1] << 16) >> 16;
    map->stride_c = (int64_t)(strides[2] << 16) >> 16;
    uint32_t *const tiles[3] = {&map->width0, &map->height0, &map->height1};
    for (int tile = 0; tile < 3; tile++) {
        if (!npu_get(npu, (enum npu_register)(names.width0 + tile), &value))
            return false;
        *tiles[tile] = value + 1;
    }
    value = precision >> names.size_bit & 3;
    if (value == 3)
        return npu_fail(npu, "a feature map has an unknown precision");
    map->bytes = 1u << value;
    map->is_signed = (precision & 1) != 0;
    map->bricks = (precision & 0x40) != 0;
    if (!map->is_signed)
        map->zero_point &= 0xFFFF;
    if (height == 0 || width == 0 || depth == 0)
        return npu_fail(npu, "a feature map is empty");
    /* Elements do not share bytes, which bounds the work that a corrupted stream can ask for. */
    if ((uint64_t)height * width > map->region_bytes || (uint64_t)height * width * depth > map->region_bytes / map->bytes)
        return npu_fail(npu, "a feature map is larger than its region");
    return true;
}

bool npu_input(npu_model *npu, uint32_t height, uint32_t width, uint32_t depth, npu_map *map)
{
    const operand names = {NPU_IFM_REGION, NPU_IFM_PRECISION, NPU_IFM_ZERO_POINT, NPU_IFM_WIDTH0_M1,
                           NPU_IFM_BASE0, NPU_IFM_STRIDE_X, 2};
    return open_map(npu, names, height, width, depth, map);
}

bool npu_second_input(npu_model *npu, uint32_t height, uint32_t width, uint32_t depth, npu_map *map)
{
    const operand names = {NPU_IFM2_REGION, NPU_IFM2_PRECISION, NPU_IFM2_ZERO_POINT, NPU_IFM2_WIDTH0_M1,
                           NPU_IFM2_BASE0, NPU_IFM2_STRIDE_X, 2};
    return open_map(npu, names, height, width, depth, map);
}

bool npu_output(npu_model *npu, npu_map *map)
{
    const operand names = {NPU_OFM_REGION, NPU_OFM_PRECISION, NPU_OFM_ZERO_POINT, NPU_OFM_WIDTH0_M1,
                           NPU_OFM_BASE0, NPU_OFM_STRIDE_X, 1};
    uint32_t height, width, depth;
    return npu_get(npu, NPU_OFM_HEIGHT_M1, &height) && npu_get(npu, NPU_OFM_WIDTH_M1, &width) &&
           npu_get(npu, NPU_OFM_DEPTH_M1, &depth) && open_map(npu, names, height + 1, width + 1, depth + 1, map);
}

static uint8_t *element(const npu_map *map, uint32_t row, uint32_t column, uint32_t channel)
{
    const bool right = column >= map->width0;
    const uint32_t height = right ? map->height1 : map->height0;
    const bool below = row >= height;
    const int64_t y = below ? row - height : row, x = right ? column - map->width0 : column;
    const int64_t inside = map->bricks
                               ? channel / 16 * map->stride_c + (x * 16 + channel % 16) * (int64_t)map->bytes
                               : x * map->stride_x + (int64_t)channel * map->bytes;
    const uint64_t address = map->base[right + 2 * below] + (uint64_t)(y * map->stride_y) + (uint64_t)inside;
    if (address > map->region_bytes || map->bytes > map->region_bytes - address) {
        npu_fail(map->npu, "an access leaves its region");
        return NULL;
    }
    return map->region + address;
}

bool npu_channels(const npu_map *map, uint32_t row, uint32_t column, uint32_t channel, uint32_t *count,
                  const uint8_t **bytes)
{
    if (map->bricks && *count > 16 - channel % 16)
        *count = 16 - channel % 16;
    *bytes = element(map, row, column, channel);
    return *bytes != NULL && element(map, row, column, channel + *count - 1) != NULL;
}

bool npu_load(const npu_map *map, uint32_t row, uint32_t column, uint32_t channel, int64_t *value)
{
    const uint8_t *bytes = element(map, row, column, channel);
    uint32_t word = 0;
    if (bytes == NULL)
        return false;
    memcpy(&word, bytes, map->bytes);
    if (map->is_signed)
        *value = map->bytes == 1 ? (int8_t)word : map->bytes == 2 ? (int16_t)word : (int32_t)word;
    else
        *value = word;
    return true;
}

bool npu_store(const npu_map *map, uint32_t row, uint32_t column, uint32_t channel, int64_t value)
{
    uint8_t *bytes = element(map, row, column, channel);
    const uint32_t word = (uint32_t)value;
    if (bytes == NULL)
        return false;
    memcpy(bytes, &word, map->bytes);
    return true;
}
