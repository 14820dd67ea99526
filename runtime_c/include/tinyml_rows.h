/*
 * Rows of images on the move: what the generated code of a streamed region does besides calling layers.
 *
 * A line buffer holds consecutive rows of a tensor. Windows that reach outside an image, or that do not lie in memory
 * as a layer reads them, are copied to a place of their own; what lies outside holds the border's value.
 *
 * Sizes, pitches and columns are in bytes. C99, also C++; of libc only memcpy.
 */
#ifndef TINYML_ROWS_H
#define TINYML_ROWS_H

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define TINYML_ROWS static __attribute__((unused, noinline))
/* Sizes that are constants where a function is called leave little of it. */
#define TINYML_INLINE static inline __attribute__((always_inline))
#define TINYML_WORD_ALIGNED(place) __builtin_assume_aligned(place, 4)
/* Compilers would make the loop a call of memmove or memset, which small C libraries do byte by byte. */
#define TINYML_KEEP_LOOP __asm__ volatile("" : : : "memory")
#else
#define TINYML_ROWS static
#define TINYML_INLINE static inline
#define TINYML_WORD_ALIGNED(place) (place)
#define TINYML_KEEP_LOOP (void)0
#endif

/* The word at an address that is a multiple of four, and storing one there. */
static inline uint32_t tinyml_word(const int8_t *from)
{
    uint32_t word;
    memcpy(&word, TINYML_WORD_ALIGNED(from), 4);
    return word;
}

static inline void tinyml_put_word(int8_t *to, uint32_t word)
{
    memcpy(TINYML_WORD_ALIGNED(to), &word, 4);
    TINYML_KEEP_LOOP;
}

#if defined(__ARM_FEATURE_UNALIGNED)
/* The word at any address. */
static inline uint32_t tinyml_any_word(const int8_t *from)
{
    uint32_t word;
    memcpy(&word, from, 4);
    return word;
}
#endif

/* The smaller and the larger of two numbers. */
static inline int32_t tinyml_least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static inline int32_t tinyml_most(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* Whether `count` rows, or columns, from `first` on are all among `size` ones. */
TINYML_INLINE int tinyml_are_inside(int32_t first, int32_t count, int32_t size)
{
    return count <= size && (uint32_t)first <= (uint32_t)(size - count);
}

#if defined(__ARM_FEATURE_MVE)
/* Copy upwards, 64 bytes at a time, then 16. */
TINYML_INLINE void tinyml_move_vectors(int8_t *to, const int8_t *from, int32_t bytes)
{
    if (bytes >= 64) {
        __asm__ volatile("dls lr, %2\n"
                         "1:\n\t"
                         "vldrb.u8 q0, [%1], #16\n\t"
                         "vldrb.u8 q1, [%1], #16\n\t"
                         "vldrb.u8 q2, [%1], #16\n\t"
                         "vldrb.u8 q3, [%1], #16\n\t"
                         "vstrb.8 q0, [%0], #16\n\t"
                         "vstrb.8 q1, [%0], #16\n\t"
                         "vstrb.8 q2, [%0], #16\n\t"
                         "vstrb.8 q3, [%0], #16\n\t"
                         "le lr, 1b"
                         : "+r"(to), "+r"(from)
                         : "r"(bytes >> 6)
                         : "q0", "q1", "q2", "q3", "lr", "cc", "memory");
        bytes &= 63;
    }
    __asm__ volatile("wlstp.8 lr, %2, 2f\n"
                     "1:\n\t"
                     "vldrb.u8 q0, [%1], #16\n\t"
                     "vstrb.8 q0, [%0], #16\n\t"
                     "letp lr, 1b\n"
                     "2:"
                     : "+r"(to), "+r"(from)
                     : "r"(bytes)
                     : "q0", "lr", "cc", "memory");
}
#endif

#if defined(__thumb__) && !defined(__ARM_FEATURE_MVE)
/* Copy words by a list of registers, of r3 to r6, and go on behind them. */
#define TINYML_COPY_LIST(to, from, list)                                                                               \
    __asm__ volatile("ldmia %1!, " list "\n\t"                                                                         \
                     "stmia %0!, " list                                                                                \
                     : "+l"(to), "+l"(from)                                                                            \
                     :                                                                                                 \
                     : "r3", "r4", "r5", "r6", "memory")
#endif

/* Copy upwards; the two places may overlap when `to` is the lower one. */
TINYML_ROWS void tinyml_move_bytes(int8_t *to, const int8_t *from, int32_t bytes)
{
#if defined(__ARM_FEATURE_MVE)
    tinyml_move_vectors(to, from, bytes);
#elif defined(__riscv_vector)
    int32_t count;
    for (; bytes > 0; bytes -= count, to += count, from += count) {
        __asm__ volatile("vsetvli %0, %3, e8, m8, ta, ma\n\t"
                         "vle8.v v8, (%1)\n\t"
                         "vse8.v v8, (%2)"
                         : "=&r"(count)
                         : "r"(from), "r"(to), "r"(bytes)
                         : "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "memory");
    }
#else
    if ((((uintptr_t)to | (uintptr_t)from) & 3u) == 0u) {
#if defined(__thumb__)
        for (; bytes >= 32; bytes -= 32) {
            TINYML_COPY_LIST(to, from, "{r3-r6}");
            TINYML_COPY_LIST(to, from, "{r3-r6}");
        }
#else
        for (; bytes >= 32; bytes -= 32, to += 32, from += 32) {
            const uint32_t a = tinyml_word(from), b = tinyml_word(from + 4);
            const uint32_t c = tinyml_word(from + 8), d = tinyml_word(from + 12);
            const uint32_t e = tinyml_word(from + 16), f = tinyml_word(from + 20);
            const uint32_t g = tinyml_word(from + 24), h = tinyml_word(from + 28);
            tinyml_put_word(to, a);
            tinyml_put_word(to + 4, b);
            tinyml_put_word(to + 8, c);
            tinyml_put_word(to + 12, d);
            tinyml_put_word(to + 16, e);
            tinyml_put_word(to + 20, f);
            tinyml_put_word(to + 24, g);
            tinyml_put_word(to + 28, h);
        }
#endif
        for (; bytes >= 4; bytes -= 4, to += 4, from += 4) {
            tinyml_put_word(to, tinyml_word(from));
        }
    }
#if defined(__ARM_FEATURE_UNALIGNED)
    else if (bytes >= 16) {
        for (; ((uintptr_t)to & 3u) != 0u; --bytes) {
            *to++ = *from++;
            TINYML_KEEP_LOOP;
        }
        for (; bytes >= 16; bytes -= 16, to += 16, from += 16) {
            const uint32_t a = tinyml_any_word(from), b = tinyml_any_word(from + 4);
            const uint32_t c = tinyml_any_word(from + 8), d = tinyml_any_word(from + 12);
            tinyml_put_word(to, a);
            tinyml_put_word(to + 4, b);
            tinyml_put_word(to + 8, c);
            tinyml_put_word(to + 12, d);
        }
        for (; bytes >= 4; bytes -= 4, to += 4, from += 4) {
            tinyml_put_word(to, tinyml_any_word(from));
        }
    }
#endif
    for (; bytes > 0; --bytes) {
        *to++ = *from++;
        TINYML_KEEP_LOOP;
    }
#endif
}

/* Set `bytes` bytes to `value`. */
TINYML_ROWS void tinyml_fill_bytes(int8_t *to, int8_t value, int32_t bytes)
{
#if defined(__ARM_FEATURE_MVE)
    __asm__ volatile("vdup.8 q0, %2\n\t"
                     "wlstp.8 lr, %1, 2f\n"
                     "1:\n\t"
                     "vstrb.8 q0, [%0], #16\n\t"
                     "letp lr, 1b\n"
                     "2:"
                     : "+r"(to)
                     : "r"(bytes), "r"(value)
                     : "q0", "lr", "cc", "memory");
#elif defined(__riscv_vector)
    int32_t count;
    for (; bytes > 0; bytes -= count, to += count) {
        __asm__ volatile("vsetvli %0, %2, e8, m8, ta, ma\n\t"
                         "vmv.v.x v8, %3\n\t"
                         "vse8.v v8, (%1)"
                         : "=&r"(count)
                         : "r"(to), "r"(bytes), "r"(value)
                         : "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "memory");
    }
#else
    const uint32_t word = (uint8_t)value * 0x01010101u;
    for (; bytes > 0 && ((uintptr_t)to & 3u) != 0u; --bytes) {
        *to++ = value;
        TINYML_KEEP_LOOP;
    }
    for (; bytes >= 16; bytes -= 16, to += 16) {
        tinyml_put_word(to, word);
        tinyml_put_word(to + 4, word);
        tinyml_put_word(to + 8, word);
        tinyml_put_word(to + 12, word);
    }
    for (; bytes >= 4; bytes -= 4, to += 4) {
        tinyml_put_word(to, word);
    }
    for (; bytes > 0; --bytes) {
        *to++ = value;
        TINYML_KEEP_LOOP;
    }
#endif
}

/* Copy `bytes` of each of `rows` rows between two images. */
TINYML_ROWS void tinyml_copy_rows(int8_t *to, int32_t to_pitch, const int8_t *from, int32_t from_pitch,
                                  int32_t rows, int32_t bytes)
{
#if defined(__ARM_FEATURE_MVE)
    /* Pixels are rows as well: a call for each would cost more than its bytes. */
    if (bytes <= 16 && rows > 0) {
        __asm__ volatile("vctp.8 %5\n\t"
                         "dls lr, %2\n"
                         "1:\n\t"
                         "vpstt\n\t"
                         "vldrbt.u8 q0, [%1]\n\t"
                         "vstrbt.8 q0, [%0]\n\t"
                         "add %0, %0, %3\n\t"
                         "add %1, %1, %4\n\t"
                         "le lr, 1b"
                         : "+r"(to), "+r"(from)
                         : "r"(rows), "r"(to_pitch), "r"(from_pitch), "r"(bytes)
                         : "q0", "lr", "cc", "memory");
        return;
    }
    if (bytes <= 32 && rows > 0) {
        /* Both halves overlap. */
        int8_t *last_to = to + bytes - 16;
        const int8_t *last_from = from + bytes - 16;
        __asm__ volatile("dls lr, %4\n"
                         "1:\n\t"
                         "vldrb.u8 q0, [%1]\n\t"
                         "vldrb.u8 q1, [%3]\n\t"
                         "vstrb.8 q0, [%0]\n\t"
                         "vstrb.8 q1, [%2]\n\t"
                         "add %0, %0, %5\n\t"
                         "add %1, %1, %6\n\t"
                         "add %2, %2, %5\n\t"
                         "add %3, %3, %6\n\t"
                         "le lr, 1b"
                         : "+r"(to), "+r"(from), "+r"(last_to), "+r"(last_from)
                         : "r"(rows), "r"(to_pitch), "r"(from_pitch)
                         : "q0", "q1", "lr", "cc", "memory");
        return;
    }
    for (; rows > 0; --rows, to += to_pitch, from += from_pitch) {
        tinyml_move_vectors(to, from, bytes);
    }
#else
#if !defined(__riscv_vector)
    /* Pixels are rows as well: a call for each would cost more than its bytes. */
    const uintptr_t places = (uintptr_t)to | (uintptr_t)from | (uintptr_t)(to_pitch | from_pitch | bytes);
    if (bytes <= 16 && (places & 3u) == 0u) {
        for (; rows > 0; --rows, to += to_pitch, from += from_pitch) {
            for (int32_t at = 0; at < bytes; at += 4) {
                tinyml_put_word(to + at, tinyml_word(from + at));
            }
        }
        return;
    }
    if (bytes <= 4) {
        for (; rows > 0; --rows, to += to_pitch, from += from_pitch) {
            for (int32_t at = 0; at < bytes; ++at) {
                to[at] = from[at];
                TINYML_KEEP_LOOP;
            }
        }
        return;
    }
#endif
    for (; rows > 0; --rows, to += to_pitch, from += from_pitch) {
        tinyml_move_bytes(to, from, bytes);
    }
#endif
}

/* Set the first `bytes` bytes of each of `rows` rows. */
TINYML_ROWS void tinyml_fill_rows(int8_t *row, int32_t rows, int32_t pitch, int32_t bytes, int8_t value)
{
#if defined(__ARM_FEATURE_MVE)
    /* Rows of planes are short: a call for each would cost more than its bytes. */
    if (bytes <= 32 && rows > 0) {
        /* Both halves overlap. */
        int8_t *last = row + tinyml_most(bytes - 16, 0);
        __asm__ volatile("vdup.8 q0, %5\n\t"
                         "vctp.8 %4\n\t"
                         "dls lr, %2\n"
                         "1:\n\t"
                         "vpstt\n\t"
                         "vstrbt.8 q0, [%0]\n\t"
                         "vstrbt.8 q0, [%1]\n\t"
                         "add %0, %0, %3\n\t"
                         "add %1, %1, %3\n\t"
                         "le lr, 1b"
                         : "+r"(row), "+r"(last)
                         : "r"(rows), "r"(pitch), "r"(bytes), "r"(value)
                         : "q0", "lr", "cc", "memory");
        return;
    }
#endif
    for (; rows > 0; --rows, row += pitch) {
        tinyml_fill_bytes(row, value, bytes);
    }
}

/* Fill the first `left` and the last `right` bytes of each row; a negative number of bytes is none, as in most calls. */
static inline void tinyml_fill_edges(int8_t *row, int32_t rows, int32_t pitch, int32_t left, int32_t right,
                                     int8_t value)
{
    if (left > 0) {
        tinyml_fill_rows(row, rows, pitch, tinyml_least(left, pitch), value);
    }
    if (right > 0) {
        right = tinyml_least(right, pitch);
        tinyml_fill_rows(row + pitch - right, rows, pitch, right, value);
    }
}

#if defined(__ARM_FEATURE_MVE)
/* Bytes between planes up to which offsets of eight planes have sixteen bits. */
#define TINYML_NEAR_PLANES 8192

/* Set `columns` bytes of each of `planes` planes, eight planes at a time. */
TINYML_ROWS void tinyml_fill_planes(int8_t *at, int32_t columns, int8_t value, int32_t planes, int32_t plane)
{
    __asm__ volatile("movs r4, #0\n\t"
                     "vidup.u16 q1, r4, #1\n\t"
                     "vmul.i16 q1, q1, %3\n\t"
                     "vdup.8 q0, %5\n"
                     "1:\n\t"
                     "mov r4, %0\n\t"
                     "wlstp.16 lr, %2, 3f\n"
                     "2:\n\t"
                     "vstrb.16 q0, [r4, q1]\n\t"
                     "add r4, r4, %4\n\t"
                     "letp lr, 2b\n"
                     "3:\n\t"
                     "add %0, %0, #1\n\t"
                     "subs %1, %1, #1\n\t"
                     "bgt 1b"
                     : "+r"(at), "+r"(columns)
                     : "r"(planes), "r"(plane), "r"(8 * plane), "r"(value)
                     : "r4", "q0", "q1", "lr", "cc", "memory");
}
#endif

/* The edges that `tinyml_fill_plane_edges` fills, at least one of which has columns. */
TINYML_ROWS void tinyml_fill_both_plane_edges(int8_t *row, int32_t rows, int32_t columns, int32_t left,
                                              int32_t right, int8_t value, int32_t planes, int32_t plane)
{
    left = tinyml_most(tinyml_least(left, columns), 0);
    right = tinyml_most(tinyml_least(right, columns), 0);
#if defined(__ARM_FEATURE_MVE)
    if (plane <= TINYML_NEAR_PLANES) {
        for (; rows > 0; --rows, row += columns) {
            if (left > 0) {
                tinyml_fill_planes(row, left, value, planes, plane);
            }
            if (right > 0) {
                tinyml_fill_planes(row + columns - right, right, value, planes, plane);
            }
        }
        return;
    }
#endif
    for (; planes > 0 && left + right > 0; --planes, row += plane) {
        int8_t *at = row;
        for (int32_t count = rows; count > 0; --count, at += columns) {
            for (int32_t column = 0; column < left; ++column) {
                at[column] = value;
                TINYML_KEEP_LOOP;
            }
            for (int32_t column = columns - right; column < columns; ++column) {
                at[column] = value;
                TINYML_KEEP_LOOP;
            }
        }
    }
}

/* The same as `tinyml_fill_edges` in each of `planes` planes that lie `plane` bytes apart, with rows of `columns`
 * bytes. */
TINYML_INLINE void tinyml_fill_plane_edges(int8_t *row, int32_t rows, int32_t columns, int32_t left, int32_t right,
                                           int8_t value, int32_t planes, int32_t plane)
{
    if (left > 0 || right > 0) {
        tinyml_fill_both_plane_edges(row, rows, columns, left, right, value, planes, plane);
    }
}

/* The window that `tinyml_copy_window` copies, some of which may lie outside the image. */
TINYML_ROWS void tinyml_copy_window_at_edges(int8_t *to, const int8_t *image, int32_t height, int32_t pitch,
                                             int32_t row, int32_t rows, int32_t column, int32_t bytes, int8_t value)
{
    const int32_t top = tinyml_least(tinyml_most(row, 0), row + rows);
    const int32_t bottom = tinyml_most(tinyml_least(row + rows, height), top);
    const int32_t left = tinyml_most(column, 0), right = tinyml_least(column + bytes, pitch);
    int8_t *const inside = to + (top - row) * bytes;
    if (bottom - top < rows) {
        tinyml_fill_bytes(to, value, (top - row) * bytes);
        tinyml_fill_bytes(to + (bottom - row) * bytes, value, (row + rows - bottom) * bytes);
    }
    if (right - left < bytes) {
        tinyml_fill_edges(inside, bottom - top, bytes, left - column, column + bytes - right, value);
    }
    if (right > left) {
        tinyml_copy_rows(inside + (left - column), bytes, image + top * pitch + left, pitch, bottom - top,
                         right - left);
    }
}

/* Copy the window of `rows` rows and `bytes` columns at (row, column) of an image of `height` rows of `pitch` bytes.
 * Elements outside the image are `value`. Returns `to`. */
TINYML_INLINE const int8_t *tinyml_copy_window(int8_t *to, const int8_t *image, int32_t height, int32_t pitch,
                                               int32_t row, int32_t rows, int32_t column, int32_t bytes, int8_t value)
{
    if (tinyml_are_inside(row, rows, height) && tinyml_are_inside(column, bytes, pitch)) {
        if (rows == 1) {
            tinyml_move_bytes(to, image + row * pitch + column, bytes);
        } else {
            tinyml_copy_rows(to, bytes, image + row * pitch + column, pitch, rows, bytes);
        }
    } else {
        tinyml_copy_window_at_edges(to, image, height, pitch, row, rows, column, bytes, value);
    }
    return to;
}

/* Make room in a line buffer that holds rows `first` to `end` - 1: move those from row `keep` on to its start.
 * Returns the row that it holds first from now on. */
TINYML_ROWS int32_t tinyml_drop_rows(int8_t *line, int32_t pitch, int32_t first, int32_t end, int32_t keep)
{
    keep = tinyml_least(keep, end);
    tinyml_move_bytes(line, line + (keep - first) * pitch, (end - keep) * pitch);
    return keep;
}

/* The same as soon as rows are done with: those from `keep` on move to the start, where they are not there yet. */
TINYML_ROWS int32_t tinyml_settle_rows(int8_t *line, int32_t pitch, int32_t first, int32_t end, int32_t keep)
{
    return keep <= first ? first : tinyml_drop_rows(line, pitch, first, end, keep);
}

/* Move the rows of a line buffer, so many bytes, from `line` to `to` unless they are there: down, or to bytes that they do
 * not come from. Returns `to`. */
static inline int8_t *tinyml_shift_rows(int8_t *to, int8_t *line, int32_t bytes)
{
    if (to != line) {
        tinyml_move_bytes(to, line, bytes);
    }
    return to;
}

/* Make room for `made` rows at the end of a line buffer whose rows, `first` to `end` - 1, lie there: those from `keep` on
 * move towards the start. Returns the row that its first place is for from now on. */
TINYML_ROWS int32_t tinyml_raise_rows(int8_t *line, int32_t pitch, int32_t first, int32_t end, int32_t keep,
                                      int32_t made)
{
    keep = tinyml_least(keep, end);
    tinyml_move_bytes(line + (keep - first - made) * pitch, line + (keep - first) * pitch, (end - keep) * pitch);
    return first + made;
}

/* Make room in a line buffer that holds a plane for each channel, with rows of `row` bytes: all planes move at once, the
 * last of which begins at `last`. */
TINYML_ROWS int32_t tinyml_drop_plane_rows(int8_t *line, int32_t last, int32_t row, int32_t first, int32_t end,
                                           int32_t keep)
{
    keep = tinyml_least(keep, end);
    tinyml_move_bytes(line, line + (keep - first) * row, last + (end - keep) * row);
    return keep;
}

#endif
