/*
 * Fixed-point arithmetic of the generated code: requantisation, the transcendental functions of softmax, and
 * the conversions between integers and floating point at a model's edges.
 *
 * Method: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
 * Inference" (2018), section 2.2 and appendix; the exact rounding is that of gemmlowp and LiteRT's reference
 * kernels. A real factor is written multiplier * 2^(shift - 31) with 0 <= multiplier < 2^31; a positive shift
 * multiplies, a negative one divides.
 *
 * C99, also C++; of libc only memcpy. Where the reference wraps around, the arithmetic is done in unsigned.
 * Right shifts of negative values are arithmetic, and an unsigned value is converted to int32_t modulo 2^32:
 * C99 leaves both to the implementation, every supported compiler (gcc, clang) does them this way.
 */
#ifndef TINYML_FIXED_POINT_H
#define TINYML_FIXED_POINT_H

#include <stdint.h>
#include <string.h>

/* x * 2^bits, wrapping around; 0 <= bits <= 31. */
static inline int32_t tinyml_shift_left(int32_t x, int32_t bits)
{
    return (int32_t)((uint32_t)x << bits);
}

/* x * 2^bits, saturating; 0 <= bits <= 30. */
static inline int32_t tinyml_shift_left_saturating(int32_t x, int32_t bits)
{
    const int32_t limit = INT32_MAX >> bits;
    if (x > limit) {
        return INT32_MAX;
    }
    return x < -limit ? INT32_MIN : tinyml_shift_left(x, bits);
}

/* round(x / 2^bits), ties away from zero; 0 <= bits <= 31. */
static inline int32_t tinyml_shift_right_rounding(int32_t x, int32_t bits)
{
    const int32_t mask = (int32_t)((UINT32_C(1) << bits) - 1u);
    const int32_t threshold = (mask >> 1) + (x < 0);
    return (x >> bits) + ((x & mask) > threshold);
}

/* x limited to the range of int8. */
static inline int32_t tinyml_saturate_int8(int32_t x)
{
#if defined(__GNUC__) && defined(__ARM_FEATURE_SAT)
    __asm__("ssat %0, #8, %1" : "=r"(x) : "r"(x) : "cc");
    return x;
#else
    const int32_t upper = x < 127 ? x : 127;
    return upper > -128 ? upper : -128;
#endif
}

/* round(a * b / 2^31), ties towards positive infinity; INT32_MIN * INT32_MIN saturates. */
static inline int32_t tinyml_multiply_high(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* floor(x * multiplier / 2^32): the high word of the product; multiplier >= 0. */
static inline int32_t tinyml_multiply_keep_high(int32_t x, int32_t multiplier)
{
#if defined(__ARM_ARCH_6M__)
    /* No 64-bit product on Armv6-M: four 16-bit ones. */
    const int32_t x_high = x >> 16;
    const uint32_t x_low = (uint32_t)x & 0xffffu;
    const int32_t m_high = multiplier >> 16;
    const uint32_t m_low = (uint32_t)multiplier & 0xffffu;
    const int32_t upper = x_high * (int32_t)m_low + (int32_t)((x_low * m_low) >> 16);
    const uint32_t lower = x_low * (uint32_t)m_high + ((uint32_t)upper & 0xffffu);
    return (int32_t)((uint32_t)(x_high * m_high) + (uint32_t)(upper >> 16) + (lower >> 16));
#else
    return (int32_t)(((int64_t)x * multiplier) >> 32);
#endif
}

/* round(x * multiplier / 2^31) for multiplier >= 0, ties towards positive infinity: what every quantised factor needs. */
static inline int32_t tinyml_scale_high(int32_t x, int32_t multiplier)
{
#if defined(__ARM_ARCH_6M__)
    /* No 64-bit product on Armv6-M: four 16-bit ones, of which only the bits above 2^30 are kept. */
    const int32_t x_high = x >> 16;
    const uint32_t x_low = (uint32_t)x & 0xffffu;
    const int32_t m_high = multiplier >> 16;
    const uint32_t m_low = (uint32_t)multiplier & 0xffffu;
    const int32_t upper = x_high * (int32_t)m_low + (int32_t)((x_low * m_low) >> 16);
    const uint32_t lower = x_low * (uint32_t)m_high + ((uint32_t)upper & 0xffffu);
    const uint32_t high = (uint32_t)(x_high * m_high) + (uint32_t)(upper >> 16) + (lower >> 16);
    return (int32_t)((high << 1) + ((lower >> 15) & 1u) + ((lower >> 14) & 1u));
#else
    return (int32_t)(((int64_t)x * multiplier + (INT64_C(1) << 30)) >> 31);
#endif
}

/* Two roundings, as gemmlowp: the high half of the doubled product, then the right shift. -31 <= shift <= 30. */
static inline int32_t tinyml_requantize_double(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    return tinyml_shift_right_rounding(tinyml_scale_high(tinyml_shift_left(x, left), multiplier), right);
}

/* One rounding of the 64-bit product, ties towards positive infinity. -31 <= shift <= 30. */
static inline int32_t tinyml_requantize_single(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t bits = 31 - shift;
    return (int32_t)(((int64_t)x * multiplier + (INT64_C(1) << (bits - 1))) >> bits);
}

/* One rounding of the 64-bit product, ties away from zero. -31 <= shift <= 30. */
static inline int32_t tinyml_requantize_away(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t bits = 31 - shift;
    const int64_t half = (INT64_C(1) << (bits - 1)) - (x < 0);
    return (int32_t)(((int64_t)x * multiplier + half) >> bits);
}

/* Number of zero bits above the highest set bit; 32 for zero. */
static inline int32_t tinyml_count_leading_zeros(int32_t x)
{
    uint32_t bits = (uint32_t)x;
    int32_t count = 32;
    while (bits != 0u) {
        bits >>= 1;
        --count;
    }
    return count;
}

/*
 * exp(x) for x <= 0 in Q5.26, in Q0.31. The input is split into a part in [-1/4, 0), for which a fourth-order
 * Taylor polynomial around -1/8 is evaluated, and a sum of powers of two from 1/4 to 16, whose exponentials
 * are multiplied on.
 */
static inline int32_t tinyml_exp_negative(int32_t x)
{
    static const int32_t power_exponentials[7] = {
        1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242,
    };
    const int32_t exp_of_minus_eighth = 1895147668;
    const int32_t third = 715827883;
    const int32_t quarter = INT32_C(1) << 24;
    const int32_t fraction = (x & (quarter - 1)) - quarter;
    const uint32_t powers = (uint32_t)fraction - (uint32_t)x;
    const int32_t y = tinyml_shift_left(fraction, 5) + (INT32_C(1) << 28);
    const int32_t y2 = tinyml_multiply_high(y, y);
    const int32_t y3 = tinyml_multiply_high(y2, y);
    const int32_t y4_over_4 = tinyml_shift_right_rounding(tinyml_multiply_high(y2, y2), 2);
    const int32_t high_terms = tinyml_shift_right_rounding(tinyml_multiply_high(y4_over_4 + y3, third) + y2, 1);
    int32_t result = exp_of_minus_eighth + tinyml_multiply_high(exp_of_minus_eighth, y + high_terms);
    int32_t index;

    if (x == 0) {
        return INT32_MAX;
    }
    for (index = 0; index < 7; ++index) {
        if ((powers & (UINT32_C(1) << (24 + index))) != 0u) {
            result = tinyml_multiply_high(result, power_exponentials[index]);
        }
    }
    return result;
}

/* 1 / (1 + x) for x in [0, 1), both in Q0.31: three Newton-Raphson steps on the halved denominator. */
static inline int32_t tinyml_reciprocal_of_one_plus(int32_t x)
{
    const int32_t one = INT32_C(1) << 29; /* Q2.29 */
    const int32_t half_denominator = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t estimate = 1515870810 + tinyml_multiply_high(half_denominator, -1010580540);
    int32_t step;

    for (step = 0; step < 3; ++step) {
        const int32_t error = one - tinyml_multiply_high(half_denominator, estimate);
        estimate += tinyml_shift_left_saturating(tinyml_multiply_high(estimate, error), 2);
    }
    return tinyml_shift_left_saturating(estimate, 1);
}

/* 2^k / x in Q0.31, where k is chosen so that x / 2^k lies in [1, 2); x > 0 of any fixed-point format. */
static inline int32_t tinyml_reciprocal(int32_t x)
{
    const int32_t zeros = tinyml_count_leading_zeros(x);
    return tinyml_reciprocal_of_one_plus((int32_t)(((uint32_t)x << zeros) - (UINT32_C(1) << 31)));
}

/* Single-precision number with the given bit pattern; constants come as patterns so that they are exact. */
static inline float tinyml_float_from_bits(int32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* round(x / scale), ties away from zero, saturating at +-2^17; 0 for NaN. `scale` is a bit pattern. */
static inline int32_t tinyml_quantize(float x, int32_t scale)
{
    const float limit = 131072.0f;
    const float quotient = x / tinyml_float_from_bits(scale);
    int32_t whole;
    float rest;

    if (quotient >= limit) {
        return 131072;
    }
    if (quotient <= -limit) {
        return -131072;
    }
    if (quotient != quotient) {
        return 0;
    }
    whole = (int32_t)quotient;
    rest = quotient - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

/*
 * round(x / scale), ties away from zero, in integer arithmetic; 512 and -512 stand for everything beyond 383. 0 for NaN.
 * reciprocal: 1 / scale as mantissa in Q0.32, at least one half; exponent: 158 minus its power of two, from 64 to 220.
 */
static inline int32_t tinyml_quantize_fixed(float x, uint32_t reciprocal, int32_t exponent)
{
    uint32_t bits, magnitude;
    int32_t right, result;
    memcpy(&bits, &x, sizeof bits);
    magnitude = bits & UINT32_C(0x7fffffff);
    /* Binary places of the product below the point. */
    right = exponent - (int32_t)(magnitude >> 23);
    if (right > 32) {
        return 0;
    }
    if (right < 21) {
        result = magnitude > UINT32_C(0x7f800000) ? 0 : 512;
    } else {
        const uint32_t mantissa = (magnitude << 8) | UINT32_C(0x80000000);
        uint32_t product = (uint32_t)(((uint64_t)mantissa * reciprocal) >> 32);
        /* The quotient is rounded to 24 bits first: half of the last one, which depends on the size, is added. */
        product += UINT32_C(64) << (product >> 31);
        result = (int32_t)(((product >> (right - 1)) + 1u) >> 1);
    }
    return (bits >> 31) != 0u ? -result : result;
}

/* x * scale in single precision. `scale` is a bit pattern. */
static inline float tinyml_dequantize(int32_t x, int32_t scale)
{
    return (float)x * tinyml_float_from_bits(scale);
}

#endif
