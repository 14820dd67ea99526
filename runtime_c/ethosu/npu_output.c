/* Rounding, and what every operation does with its results. */
#include <string.h>

#include "npu_model.h"

enum { FIRST_TABLE = 16, TABLES = 8, CLIP_TO_INT8 = 3, LOOKUP_BYTES = 2048, SEGMENT_BITS = 7 };

/* a * b modulo 2^64. */
int64_t npu_multiply(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

int64_t npu_shift_half_up(int64_t value, uint32_t shift)
{
    return shift == 0 ? value : (value >> shift) + (value >> (shift - 1) & 1);
}

int64_t npu_scaled(int64_t value, uint32_t multiplier, uint32_t shift, enum npu_rounding rounding)
{
    const int64_t product = npu_multiply(value, multiplier);
    if (rounding == NPU_TRUNCATE)
        return product >> shift;
    if (rounding == NPU_NATURAL || shift <= 31)
        return npu_shift_half_up(product, shift);
    const int64_t high = npu_shift_half_up(product, 31);
    return high < 0 ? -npu_shift_half_up(-high, shift - 31) : npu_shift_half_up(high, shift - 31);
}

bool npu_rounding_mode(npu_model *npu, enum npu_rounding *rounding)
{
    uint32_t precision;
    if (!npu_get(npu, NPU_OFM_PRECISION, &precision))
        return false;
    *rounding = (enum npu_rounding)(precision >> 14);
    return precision >> 14 != 3 || npu_fail(npu, "an operation has an unknown rounding mode");
}

bool npu_has_global_scale(npu_model *npu, bool *global)
{
    uint32_t precision;
    if (!npu_get(npu, NPU_OFM_PRECISION, &precision))
        return false;
    *global = (precision & 0x100) != 0;
    return true;
}

static int64_t lowest(const npu_map *map)
{
    return map->is_signed ? -((int64_t)1 << (8 * map->bytes - 1)) : 0;
}

static int64_t highest(const npu_map *map)
{
    return map->is_signed ? ((int64_t)1 << (8 * map->bytes - 1)) - 1 : ((int64_t)1 << 8 * map->bytes) - 1;
}

static int64_t within(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

bool npu_begin_result(npu_model *npu, npu_result *result)
{
    uint32_t activation, unsigned_low, unsigned_high;
    int32_t low, high;
    if (!npu_output(npu, &result->map) || !npu_rounding_mode(npu, &result->rounding) ||
        !npu_has_global_scale(npu, &result->global_scale) || !npu_get(npu, NPU_ACTIVATION, &activation))
        return false;
    if (result->global_scale && !npu_scale_register(npu, NPU_OFM_SCALE, &result->multiplier, &result->shift))
        return false;
    result->function = activation & 0xFFF;
    if (activation >> 12 != 0 && activation >> 12 != CLIP_TO_INT8)
        return npu_fail(npu, "an operation limits its results to an unknown range");
    if (result->function != 0 && (result->function < FIRST_TABLE || result->function >= FIRST_TABLE + TABLES))
        return npu_fail(npu, "an operation has an unknown activation");
    result->limited = result->map.bytes < 4 || activation >> 12 == CLIP_TO_INT8;
    result->low = lowest(&result->map);
    result->high = highest(&result->map);
    if (!result->limited)
        return true;
    if (!npu_get_signed(npu, NPU_ACTIVATION_MIN, &low) || !npu_get_signed(npu, NPU_ACTIVATION_MAX, &high) ||
        !npu_get(npu, NPU_ACTIVATION_MIN, &unsigned_low) || !npu_get(npu, NPU_ACTIVATION_MAX, &unsigned_high))
        return false;
    if (activation >> 12 == CLIP_TO_INT8) {
        result->low = INT8_MIN;
        result->high = INT8_MAX;
    }
    const int64_t from = result->low < 0 ? low : (int64_t)unsigned_low;
    const int64_t to = result->low < 0 ? high : (int64_t)unsigned_high;
    result->low = from > result->low ? from : result->low;
    result->high = to < result->high ? to : result->high;
    return true;
}

/* The entry of a table of bytes or words, or the value interpolated in one of 512 segments. */
static bool looked_up(const npu_result *result, int64_t value, int64_t *entry)
{
    npu_model *npu = result->map.npu;
    const uint32_t wide = result->map.bytes == 2, size = wide ? 4 : result->map.bytes;
    const int64_t index = wide ? (value >> SEGMENT_BITS) + 256 : value - (result->map.is_signed ? INT8_MIN : 0);
    const uint32_t entries = wide ? 512 : 256;
    const uint64_t table = (uint64_t)npu->buffer_bytes - LOOKUP_BYTES + 256 * (result->function - FIRST_TABLE);
    uint32_t word = 0;
    if (index < 0 || index >= entries || table + entries * size > npu->buffer_bytes)
        return npu_fail(npu, "a lookup leaves its table");
    memcpy(&word, npu->buffer + table + (uint64_t)index * size, size);
    if (wide) {
        const int64_t slope = (int16_t)(word >> 16), base = (int16_t)word;
        *entry = base + npu_shift_half_up(slope * (value & ((1 << SEGMENT_BITS) - 1)), SEGMENT_BITS);
    } else {
        *entry = size == 1 && result->map.is_signed ? (int8_t)word : (int32_t)word;
    }
    return true;
}

bool npu_finish_scaled(npu_result *result, uint32_t row, uint32_t column, uint32_t channel, int64_t value)
{
    value += result->map.zero_point;
    if (result->limited)
        value = value < result->low ? result->low : value > result->high ? result->high : value;
    if (result->function != 0) {
        if (!looked_up(result, value, &value))
            return false;
    } else if (result->map.bytes == 4) {
        value = within(value, INT32_MIN, INT32_MAX);
    }
    return npu_store(&result->map, row, column, channel, value);
}

bool npu_finish(npu_result *result, uint32_t row, uint32_t column, uint32_t channel, int64_t value)
{
    if (result->global_scale)
        value = npu_scaled(value, result->multiplier, result->shift, result->rounding);
    return npu_finish_scaled(result, row, column, channel, value);
}
