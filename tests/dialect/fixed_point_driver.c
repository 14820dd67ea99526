/*
 * Evaluates one function of tinyml_fixed_point.h on many arguments.
 *
 * usage: driver FUNCTION < arguments > results
 * Arguments are three int32 per call, in the order of the function's parameters (unused ones are ignored);
 * the result is one int32 per call. Floats travel as their bit patterns.
 */
#include <stdio.h>
#include <string.h>

#include "tinyml_fixed_point.h"

static int32_t bits_of(float value)
{
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static int32_t evaluate(const char *function, const int32_t *a)
{
    if (strcmp(function, "shift_left") == 0) {
        return tinyml_shift_left(a[0], a[1]);
    }
    if (strcmp(function, "shift_left_saturating") == 0) {
        return tinyml_shift_left_saturating(a[0], a[1]);
    }
    if (strcmp(function, "shift_right_rounding") == 0) {
        return tinyml_shift_right_rounding(a[0], a[1]);
    }
    if (strcmp(function, "saturate_int8") == 0) {
        return tinyml_saturate_int8(a[0]);
    }
    if (strcmp(function, "multiply_high") == 0) {
        return tinyml_multiply_high(a[0], a[1]);
    }
    if (strcmp(function, "multiply_keep_high") == 0) {
        return tinyml_multiply_keep_high(a[0], a[1]);
    }
    if (strcmp(function, "requantize_double") == 0) {
        return tinyml_requantize_double(a[0], a[1], a[2]);
    }
    if (strcmp(function, "requantize_single") == 0) {
        return tinyml_requantize_single(a[0], a[1], a[2]);
    }
    if (strcmp(function, "requantize_away") == 0) {
        return tinyml_requantize_away(a[0], a[1], a[2]);
    }
    if (strcmp(function, "count_leading_zeros") == 0) {
        return tinyml_count_leading_zeros(a[0]);
    }
    if (strcmp(function, "exp_negative") == 0) {
        return tinyml_exp_negative(a[0]);
    }
    if (strcmp(function, "reciprocal") == 0) {
        return tinyml_reciprocal(a[0]);
    }
    if (strcmp(function, "quantize") == 0) {
        return tinyml_quantize(tinyml_float_from_bits(a[0]), a[1]);
    }
    if (strcmp(function, "quantize_fixed") == 0) {
        return tinyml_quantize_fixed(tinyml_float_from_bits(a[0]), (uint32_t)a[1], a[2]);
    }
    return bits_of(tinyml_dequantize(a[0], a[1]));
}

int main(int argc, char **argv)
{
    int32_t arguments[3];
    if (argc != 2) {
        return 2;
    }
    while (fread(arguments, sizeof arguments, 1, stdin) == 1) {
        const int32_t result = evaluate(argv[1], arguments);
        fwrite(&result, sizeof result, 1, stdout);
    }
    return 0;
}
