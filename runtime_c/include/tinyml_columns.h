/*
 * Columns of images as rows: how a segment of a streamed region reads and writes what lies in memory by rows.
 *
 * A segment makes a few rows of its tensors column by column; in its own buffers columns lie one after the other.
 *
 * Sizes, pitches and steps are in bytes. C99, also C++.
 */
#ifndef TINYML_COLUMNS_H
#define TINYML_COLUMNS_H

#include "tinyml_rows.h"

#if defined(__ARM_FEATURE_MVE)
/* Sixteen bytes anywhere. */
typedef uint8_t tinyml_vector __attribute__((vector_size(16), aligned(1), may_alias));

/* Copy `count` pixels of eight bytes at words, two at a time, to places side by side. */
TINYML_INLINE void tinyml_gather_pairs(int8_t *to, const int8_t *from, int32_t step, int32_t count)
{
    __asm__ volatile("vmov.i32 q1, #0\n\t"
                     "vmov.32 q1[2], %2\n\t"
                     "dlstp.64 lr, %4\n"
                     "1:\n\t"
                     "vldrd.u64 q0, [%1, q1]\n\t"
                     "add %1, %1, %3\n\t"
                     "vstrw.32 q0, [%0], #16\n\t"
                     "letp lr, 1b"
                     : "+r"(to), "+r"(from)
                     : "r"(step), "r"(2 * step), "r"(count)
                     : "q0", "q1", "lr", "cc", "memory");
}

/* The same from places side by side. */
TINYML_INLINE void tinyml_scatter_pairs(int8_t *to, int32_t step, const int8_t *from, int32_t count)
{
    __asm__ volatile("vmov.i32 q1, #0\n\t"
                     "vmov.32 q1[2], %2\n\t"
                     "dlstp.64 lr, %4\n"
                     "1:\n\t"
                     "vldrw.u32 q0, [%1], #16\n\t"
                     "vstrd.64 q0, [%0, q1]\n\t"
                     "add %0, %0, %3\n\t"
                     "letp lr, 1b"
                     : "+r"(to), "+r"(from)
                     : "r"(step), "r"(2 * step), "r"(count)
                     : "q0", "q1", "lr", "cc", "memory");
}

/* Bytes of a pixel that `tinyml_turn_bytes` copies at most, and bytes between columns up to which offsets of eight of
 * them have sixteen bits. */
#define TINYML_FEW_BYTES 3
#define TINYML_NEAR_COLUMNS 8192

/* What `tinyml_turn` does, for pixels of few bytes: eight columns at a time, whose bytes lie in lanes. */
TINYML_ROWS void tinyml_turn_bytes(int8_t *to, int32_t to_row, int32_t to_column, const int8_t *from, int32_t from_row,
                                   int32_t from_column, int32_t rows, int32_t columns, int32_t pixel)
{
    /* Pixels of less bytes have some copied again. */
    __asm__ volatile("movs r4, #0\n\t"
                     "vidup.u16 q0, r4, #1\n\t"
                     "vmul.i16 q1, q0, %3\n\t"
                     "vmul.i16 q4, q0, %4\n\t"
                     "lsl %3, %3, #3\n\t"
                     "lsl %4, %4, #3\n\t"
                     "lsr r4, %8, #1\n\t"
                     "vadd.i16 q2, q1, r4\n\t"
                     "vadd.i16 q5, q4, r4\n\t"
                     "sub r4, %8, #1\n\t"
                     "vadd.i16 q3, q1, r4\n\t"
                     "vadd.i16 q6, q4, r4\n"
                     "1:\n\t"
                     "mov r4, %0\n\t"
                     "mov r5, %1\n\t"
                     "dlstp.16 lr, %7\n"
                     "2:\n\t"
                     "vldrb.u16 q0, [r5, q4]\n\t"
                     "vstrb.16 q0, [r4, q1]\n\t"
                     "vldrb.u16 q0, [r5, q5]\n\t"
                     "vstrb.16 q0, [r4, q2]\n\t"
                     "vldrb.u16 q0, [r5, q6]\n\t"
                     "vstrb.16 q0, [r4, q3]\n\t"
                     "add r5, r5, %4\n\t"
                     "add r4, r4, %3\n\t"
                     "letp lr, 2b\n\t"
                     "add %0, %0, %5\n\t"
                     "add %1, %1, %6\n\t"
                     "subs %2, %2, #1\n\t"
                     "bgt 1b"
                     : "+&r"(to), "+&r"(from), "+&r"(rows), "+&r"(to_column), "+&r"(from_column)
                     : "r"(to_row), "r"(from_row), "r"(columns), "r"(pixel)
                     : "r4", "r5", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "lr", "cc", "memory");
}
#endif

/* Copy `count` pixels, one or more, that begin `to_step` and `from_step` bytes apart. Where all of these bytes are whole
 * words, so are both places. */
TINYML_INLINE void tinyml_copy_pixels(int8_t *to, int32_t to_step, const int8_t *from, int32_t from_step, int32_t count,
                                      int32_t pixel)
{
    const int words = ((to_step | from_step | pixel) & 3) == 0;
    if (to_step == pixel && from_step == pixel) {
        tinyml_move_bytes(to, from, count * pixel);
        return;
    }
#if defined(__ARM_FEATURE_MVE)
    if (words && pixel == 8 && to_step == pixel) {
        tinyml_gather_pairs(to, from, from_step, count);
        return;
    }
    if (words && pixel == 8 && from_step == pixel) {
        tinyml_scatter_pairs(to, to_step, from, count);
        return;
    }
    if (pixel >= 16 && pixel <= 64) {
        for (; count > 0; --count, to += to_step, from += from_step) {
            for (int32_t at = 0; at < pixel - 16; at += 16) {
                *(tinyml_vector *)(to + at) = *(const tinyml_vector *)(from + at);
            }
            /* The last two overlap. */
            *(tinyml_vector *)(to + pixel - 16) = *(const tinyml_vector *)(from + pixel - 16);
        }
        return;
    }
#elif defined(__thumb__)
    if (words && pixel <= 64) {
        for (; count > 0; --count, to += to_step - pixel, from += from_step - pixel) {
            if (pixel >= 16) {
                TINYML_COPY_LIST(to, from, "{r3-r6}");
            }
            if (pixel >= 32) {
                TINYML_COPY_LIST(to, from, "{r3-r6}");
            }
            if (pixel >= 48) {
                TINYML_COPY_LIST(to, from, "{r3-r6}");
            }
            if (pixel >= 64) {
                TINYML_COPY_LIST(to, from, "{r3-r6}");
            }
            if (pixel & 8) {
                TINYML_COPY_LIST(to, from, "{r3, r4}");
            }
            if (pixel & 4) {
                tinyml_put_word(to, tinyml_word(from));
                to += 4;
                from += 4;
            }
        }
        return;
    }
#elif !defined(__riscv_vector)
    if (words && pixel <= 16) {
        for (; count > 0; --count, to += to_step, from += from_step) {
            tinyml_put_word(to, tinyml_word(from));
            if (pixel > 4) {
                tinyml_put_word(to + 4, tinyml_word(from + 4));
            }
            if (pixel > 8) {
                tinyml_put_word(to + 8, tinyml_word(from + 8));
            }
            if (pixel > 12) {
                tinyml_put_word(to + 12, tinyml_word(from + 12));
            }
        }
        return;
    }
#endif
    tinyml_copy_rows(to, to_step, from, from_step, count, pixel);
}

/* Copy the columns of an image, or the rows of `to`, one after the other: `columns` pixels of `rows` rows each. Rows of
 * `from` lie `from_row` bytes apart and columns `from_column`; those of `to` likewise. */
TINYML_INLINE void tinyml_turn(int8_t *to, int32_t to_row, int32_t to_column, const int8_t *from, int32_t from_row,
                               int32_t from_column, int32_t rows, int32_t columns, int32_t pixel)
{
#if defined(__ARM_FEATURE_MVE)
    if (pixel <= TINYML_FEW_BYTES && rows > 1 && tinyml_most(to_row, from_row) <= TINYML_NEAR_COLUMNS &&
        tinyml_most(to_column, from_column) <= TINYML_NEAR_COLUMNS) {
        if (rows > columns) {
            tinyml_turn_bytes(to, to_column, to_row, from, from_column, from_row, columns, rows, pixel);
        } else {
            tinyml_turn_bytes(to, to_row, to_column, from, from_row, from_column, rows, columns, pixel);
        }
        return;
    }
#endif
    if (rows > columns) {
        for (; columns > 0; --columns, to += to_column, from += from_column) {
            tinyml_copy_pixels(to, to_row, from, from_row, rows, pixel);
        }
        return;
    }
    for (; rows > 0; --rows, to += to_row, from += from_row) {
        tinyml_copy_pixels(to, to_column, from, from_column, columns, pixel);
    }
}

/* The columns that `tinyml_get_columns` copies, some of which may lie outside the image. */
TINYML_ROWS void tinyml_get_columns_at_edges(int8_t *to, const int8_t *image, int32_t pitch, int32_t pixel,
                                             int32_t column, int32_t columns, int32_t left, int32_t width,
                                             int32_t row, int32_t rows, int32_t top, int32_t height, int8_t value)
{
    const int32_t begin = tinyml_most(row, -top), high = tinyml_least(row + rows, height - top) - begin;
    const int32_t first = tinyml_most(column, -left), wide = tinyml_least(column + columns, width - left) - first;
    const int32_t step = rows * pixel;
    const int8_t *from = image + begin * pitch + first * pixel;
    if (high < rows || wide < columns) {
        tinyml_fill_bytes(to, value, columns * step);
    }
    to += (first - column) * step + (begin - row) * pixel;
    for (int32_t count = wide; count > 0; --count, to += step, from += pixel) {
        tinyml_copy_rows(to, pixel, from, pitch, high, pixel);
    }
}

/* Copy `columns` columns from `column` on, `rows` pixels from `row` on each, one column after the other. What is at
 * `image`, row 0 and column 0, is row `top` and column `left` of an image of `height` rows and `width` columns; what lies
 * outside of that is `value`. Sizes of pixels are in bytes. Returns `to`. */
TINYML_INLINE const int8_t *tinyml_get_columns(int8_t *to, const int8_t *image, int32_t pitch, int32_t pixel,
                                               int32_t column, int32_t columns, int32_t left, int32_t width,
                                               int32_t row, int32_t rows, int32_t top, int32_t height, int8_t value)
{
    if (tinyml_are_inside(row + top, rows, height) && tinyml_are_inside(column + left, columns, width)) {
        tinyml_turn(to, pixel, rows * pixel, image + row * pitch + column * pixel, pitch, pixel, rows, columns,
                    pixel);
    } else {
        tinyml_get_columns_at_edges(to, image, pitch, pixel, column, columns, left, width, row, rows, top, height,
                                    value);
    }
    return to;
}

/* The columns that `tinyml_put_columns` copies, some rows of which may lie outside the image. */
TINYML_ROWS void tinyml_put_columns_at_edges(int8_t *image, int32_t pitch, const int8_t *from, int32_t pixel,
                                             int32_t columns, int32_t row, int32_t rows, int32_t top, int32_t height)
{
    const int32_t begin = tinyml_most(row, -top), high = tinyml_least(row + rows, height - top) - begin;
    image += begin * pitch;
    from += (begin - row) * pixel;
    for (; columns > 0; --columns, image += pixel, from += rows * pixel) {
        tinyml_copy_rows(image, pitch, from, pixel, high, pixel);
    }
}

/* Copy `columns` columns of `rows` pixels, which lie one after the other, to rows `row` to `row` + `rows` - 1 at
 * `image`, which begins at row `top` of an image of `height` rows; rows outside of that are left out. */
TINYML_INLINE void tinyml_put_columns(int8_t *image, int32_t pitch, const int8_t *from, int32_t pixel, int32_t columns,
                                      int32_t row, int32_t rows, int32_t top, int32_t height)
{
    if (tinyml_are_inside(row + top, rows, height)) {
        tinyml_turn(image + row * pitch, pitch, pixel, from, pixel, rows * pixel, rows, columns, pixel);
    } else {
        tinyml_put_columns_at_edges(image, pitch, from, pixel, columns, row, rows, top, height);
    }
}

#endif
