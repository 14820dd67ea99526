/* ELEMENTWISE: functions of one or two operands. */
#include "npu_model.h"

enum { MUL, ADD, SUB, MIN, MAX, LRELU, ABS, CLZ, SHR, SHL };
enum { BROADCAST_H = 1, BROADCAST_W = 2, BROADCAST_C = 4, REVERSED = 0x40, SCALAR = 0x80 };
enum { BOTH_16_BITS, FIRST_32_BITS, SECOND_32_BITS };

typedef struct {
    npu_model *npu;
    uint32_t kind, scaling, bytes;
    uint32_t multiplier_a, shift_a, multiplier_b, shift_b;
    npu_result result;
} elementwise;

static uint32_t leading_zeros(int64_t value)
{
    uint32_t count = 0;
    while (count < 32 && value >= 0 && value >> (31 - count) == 0)
        count++;
    return count;
}

static int64_t unary(elementwise *e, int64_t value)
{
    if (e->kind == CLZ)
        return leading_zeros(value);
    if (e->kind == ABS)
        value = value < 0 ? -value : value;
    else if (value >= 0)
        return value;
    return npu_scaled(value, e->result.multiplier, e->result.shift, e->result.rounding);
}

/* Operands of a sum on a common scale, as TFLite's ADD brings them there. */
static void scale_operands(const elementwise *e, int64_t *a, int64_t *b)
{
    const uint32_t fraction = e->bytes == 1 ? 20 : 15;
    if (e->scaling == BOTH_16_BITS) {
        *a *= e->multiplier_a & 0xFFFF;
        *b *= e->multiplier_b & 0xFFFF;
        return;
    }
    int64_t *const scaled = e->scaling == FIRST_32_BITS ? a : b, *const shifted = e->scaling == FIRST_32_BITS ? b : a;
    *scaled = npu_scaled(npu_multiply(*scaled, (int64_t)1 << fraction), e->multiplier_a,
                         e->shift_a + fraction < 63 ? e->shift_a + fraction : 63, NPU_TFL);
    *shifted = npu_multiply(*shifted, (int64_t)1 << (fraction - 1));
}

static bool binary(elementwise *e, int64_t a, int64_t b, int64_t *value)
{
    switch (e->kind) {
    case MIN:
        *value = a < b ? a : b;
        return true;
    case MAX:
        *value = a > b ? a : b;
        return true;
    case SHR:
    case SHL:
        if (b < 0 || b > 31)
            return npu_fail(e->npu, "a shift by less than 0 or more than 31");
        if (e->kind == SHL)
            *value = npu_multiply(a, (int64_t)1 << b);
        else
            *value = e->result.rounding == NPU_NATURAL ? npu_shift_half_up(a, (uint32_t)b) : a >> b;
        return true;
    case MUL:
        /* Products of words are only shifted. */
        *value = npu_scaled(npu_multiply(a, b), e->bytes == 4 ? 1 : e->result.multiplier, e->result.shift,
                            e->result.rounding);
        return true;
    default:
        if (e->bytes < 4)
            scale_operands(e, &a, &b);
        *value = npu_scaled(e->kind == ADD ? a + b : a - b, e->result.multiplier, e->result.shift, e->result.rounding);
        return true;
    }
}

static bool prepare(elementwise *e, const npu_map *first)
{
    npu_model *npu = e->npu;
    uint32_t precision;
    const bool needs_scale = e->kind <= SUB || e->kind == LRELU || e->kind == ABS;
    if (needs_scale && !e->result.global_scale)
        return npu_fail(npu, "an elementwise operation has no global scale");
    if (!npu_get(npu, NPU_IFM_PRECISION, &precision))
        return false;
    e->bytes = first->bytes;
    e->scaling = precision >> 8 & 3;
    if (e->kind != ADD && e->kind != SUB)
        return true;
    if (e->scaling > SECOND_32_BITS)
        return npu_fail(npu, "an elementwise operation scales its operands in an unknown way");
    if (e->bytes == 4)
        return true;
    return npu_scale_register(npu, NPU_OPA_SCALE, &e->multiplier_a, &e->shift_a) &&
           (e->scaling != BOTH_16_BITS || npu_scale_register(npu, NPU_OPB_SCALE, &e->multiplier_b, &e->shift_b));
}

/* The second operand: a map, broadcast along the axes of which it has one element, or a number. */
typedef struct {
    npu_map map;
    uint32_t broadcast;
    int64_t scalar;
} second_operand;

static bool open_second(npu_model *npu, const npu_map *output, second_operand *second)
{
    uint32_t value, precision;
    int32_t scalar, zero_point;
    if (!npu_get(npu, NPU_IFM2_BROADCAST, &second->broadcast))
        return false;
    if ((second->broadcast & SCALAR) == 0)
        return npu_second_input(npu, second->broadcast & BROADCAST_H ? 1 : output->height,
                                second->broadcast & BROADCAST_W ? 1 : output->width,
                                second->broadcast & BROADCAST_C ? 1 : output->depth, &second->map);
    if (!npu_get(npu, NPU_IFM2_PRECISION, &precision) || !npu_get(npu, NPU_IFM2_SCALAR, &value) ||
        !npu_get_signed(npu, NPU_IFM2_SCALAR, &scalar) || !npu_get_signed(npu, NPU_IFM2_ZERO_POINT, &zero_point))
        return false;
    second->scalar = (precision & 1) != 0 ? scalar - zero_point : (int64_t)value - (zero_point & 0xFFFF);
    return true;
}

static bool load_second(const second_operand *second, uint32_t row, uint32_t column, uint32_t channel, int64_t *value)
{
    *value = second->scalar;
    if ((second->broadcast & SCALAR) != 0)
        return true;
    if (!npu_load(&second->map, second->broadcast & BROADCAST_H ? 0 : row, second->broadcast & BROADCAST_W ? 0 : column,
                  second->broadcast & BROADCAST_C ? 0 : channel, value))
        return false;
    *value -= second->map.zero_point;
    return true;
}

bool npu_elementwise(npu_model *npu, uint32_t kind)
{
    elementwise e = {.npu = npu, .kind = kind};
    second_operand second = {.broadcast = 0};
    npu_map first;
    uint32_t upscale;
    const bool one = kind == LRELU || kind == ABS || kind == CLZ;
    if (kind > SHL)
        return npu_fail(npu, "an unknown elementwise operation");
    if (!npu_begin_result(npu, &e.result) || !npu_get(npu, NPU_IFM_UPSCALE, &upscale))
        return false;
    if (upscale != 0)
        return npu_fail(npu, "an elementwise operation upscales its input");
    const npu_map *output = &e.result.map;
    if (!npu_input(npu, output->height, output->width, output->depth, &first) || !prepare(&e, &first) ||
        (!one && !open_second(npu, output, &second)))
        return false;
    for (uint32_t row = 0; row < output->height; row++)
        for (uint32_t column = 0; column < output->width; column++)
            for (uint32_t channel = 0; channel < output->depth; channel++) {
                int64_t a, b, value = 0;
                if (!npu_load(&first, row, column, channel, &a))
                    return false;
                a -= first.zero_point;
                if (one) {
                    value = unary(&e, a);
                } else {
                    if (!load_second(&second, row, column, channel, &b))
                        return false;
                    const bool reversed = (second.broadcast & REVERSED) != 0;
                    if (!binary(&e, reversed ? b : a, reversed ? a : b, &value))
                        return false;
                }
                if (!npu_finish_scaled(&e.result, row, column, channel, value))
                    return false;
            }
    return true;
}
