/*
 * The compressed weights of Ethos-U, decoded. A stream is a sequence of slices; a slice has a header, maybe a palette, and
 * Golomb-Rice coded indices, between which lie lengths of runs of zeros. Symbols come in chunks of up to twelve: a chunk
 * holds quotients of its own symbols and remainders of those of the chunk before. Format: the mlw_codec of Arm's Vela.
 */
#include "npu_model.h"

#define QUEUE 64
enum { NO_ZERO_RUNS = 6, END_OF_STREAM = 7, UNCOMPRESSED = 7 };

void npu_open_weights(npu_weight_stream *stream, npu_span span)
{
    *stream = (npu_weight_stream){.stream = span};
}

static bool read_bits(npu_model *npu, npu_weight_stream *s, uint32_t count, uint32_t *value)
{
    *value = 0;
    for (uint32_t i = 0; i < count; i++, s->bit++) {
        if (s->bit / 8 >= s->stream.size)
            return npu_fail(npu, "a stream of weights ends too early");
        *value |= (uint32_t)(s->stream.bytes[s->bit / 8] >> (s->bit % 8) & 1) << i;
    }
    return true;
}

static bool read_palette(npu_model *npu, npu_weight_stream *s)
{
    uint32_t size, bits, entry;
    if (!read_bits(npu, s, 5, &s->direct_offset) || !read_bits(npu, s, 5, &size) || !read_bits(npu, s, 3, &bits))
        return false;
    s->palette_size = size == 0 ? 0 : size + 1;
    s->palette_bits = bits + 2;
    for (uint32_t i = 0; i < s->palette_size; i++) {
        if (!read_bits(npu, s, s->palette_bits, &entry))
            return false;
        s->palette[i] = (uint16_t)entry;
    }
    s->has_palette = true;
    return true;
}

/* Bits of an index that is stored as it is. */
static uint32_t plain_bits(const npu_weight_stream *s)
{
    uint32_t bits = 0;
    if (s->palette_size == 0)
        return s->palette_bits;
    while ((1u << bits) < s->palette_size)
        bits++;
    return bits;
}

static bool open_slice(npu_model *npu, npu_weight_stream *s)
{
    uint32_t zero_divisor, length, divisor, truncated, new_palette;
    if (!read_bits(npu, s, 3, &zero_divisor))
        return false;
    while (zero_divisor == END_OF_STREAM) {
        s->bit = (s->bit + 7) & ~(uint64_t)7;
        s->has_palette = false;
        if (!read_bits(npu, s, 3, &zero_divisor))
            return false;
    }
    if (!read_bits(npu, s, 15, &length) || !read_bits(npu, s, 3, &divisor) || !read_bits(npu, s, 1, &truncated) ||
        !read_bits(npu, s, 1, &new_palette))
        return false;
    if (new_palette ? !read_palette(npu, s) : !s->has_palette)
        return npu_fail(npu, "a stream of weights has a slice without a palette");
    if ((zero_divisor > 3 && zero_divisor != NO_ZERO_RUNS) || divisor == 6)
        return npu_fail(npu, "a stream of weights has an unknown divisor");
    s->zero_divisor = zero_divisor;
    s->zero_runs = zero_divisor != NO_ZERO_RUNS;
    s->uncompressed = divisor == UNCOMPRESSED;
    s->weight_divisor = s->uncompressed ? plain_bits(s) : divisor;
    s->truncated = truncated != 0;
    s->weights = (npu_symbols){.count = length + 1};
    s->zeros = (npu_symbols){.count = s->zero_runs ? length + 1 + new_palette : 0};
    s->zeros_first = s->zero_runs && new_palette;
    s->in_slice = true;
    return true;
}

static void start(npu_symbols *symbols, uint32_t quotient)
{
    symbols->quotient[symbols->quotients++] = quotient;
    symbols->started++;
}

static bool finish(npu_model *npu, npu_weight_stream *s, npu_symbols *symbols, const uint32_t *quotient,
                   uint32_t quotients, uint32_t divisor)
{
    for (uint32_t i = 0; i < quotients && symbols->finished < symbols->count; i++) {
        uint32_t remainder;
        if (!read_bits(npu, s, divisor, &remainder))
            return false;
        if (symbols->queued == QUEUE || quotient[i] > 0xFFFF)
            return npu_fail(npu, "a stream of weights is malformed");
        symbols->queue[(symbols->head + symbols->queued++) % QUEUE] = (quotient[i] << divisor) + remainder;
        symbols->finished++;
    }
    return true;
}

static bool start_zeros(npu_model *npu, npu_weight_stream *s)
{
    const uint32_t length = s->zero_divisor < 3 ? 12 : 8;
    uint32_t unary;
    if (!read_bits(npu, s, length, &unary))
        return false;
    for (uint32_t i = 0; i < length; i++) {
        if (unary >> i & 1) {
            s->zeros.carry++;
        } else {
            start(&s->zeros, s->zeros.carry);
            s->zeros.carry = 0;
        }
    }
    return true;
}

static bool start_weights(npu_model *npu, npu_weight_stream *s, uint32_t unary0)
{
    const uint32_t length = s->uncompressed && s->weight_divisor > 5 ? 8 : 12;
    uint32_t ones = 0, unary1;
    for (uint32_t i = 0; i < length; i++)
        ones += unary0 >> i & 1;
    if (!read_bits(npu, s, ones, &unary1))
        return false;
    for (uint32_t i = 0; i < length; i++) {
        uint32_t step = 0;
        if (unary0 >> i & 1) {
            step = 1 + (unary1 & 1);
            unary1 >>= 1;
        }
        s->weights.carry += step;
        if (step < 2 || s->truncated) {
            start(&s->weights, s->weights.carry);
            s->weights.carry = 0;
        }
    }
    return true;
}

/* Reads one chunk; the slice ends with a chunk that starts no symbol. */
static bool read_chunk(npu_model *npu, npu_weight_stream *s)
{
    const npu_symbols before[2] = {s->weights, s->zeros};
    const int64_t ahead = s->zero_runs ? (int64_t)s->weights.started - s->zeros.started : 0;
    const bool weights = ahead < 8 && s->weights.started < s->weights.count;
    const bool zeros = s->zero_runs && ahead >= 0 && s->zeros.started < s->zeros.count;
    uint32_t unary0 = 0;
    s->weights.quotients = s->zeros.quotients = 0;
    if (weights && !s->uncompressed && !read_bits(npu, s, 12, &unary0))
        return false;
    if ((zeros && !start_zeros(npu, s)) || (weights && !start_weights(npu, s, unary0)))
        return false;
    s->in_slice = weights || zeros;
    return finish(npu, s, &s->weights, before[0].quotient, before[0].quotients, s->weight_divisor) &&
           finish(npu, s, &s->zeros, before[1].quotient, before[1].quotients, s->zero_runs ? s->zero_divisor : 0);
}

static uint32_t take(npu_symbols *symbols)
{
    const uint32_t value = symbols->queue[symbols->head];
    symbols->head = (symbols->head + 1) % QUEUE;
    symbols->queued--;
    return value;
}

bool npu_next_weight(npu_model *npu, npu_weight_stream *s, int16_t *weight)
{
    for (;;) {
        if (s->run > 0) {
            s->run--;
            *weight = 0;
            return true;
        }
        if (s->zeros_first ? s->zeros.queued > 0 : s->weights.queued > 0) {
            if (s->zeros_first) {
                s->run = take(&s->zeros);
                s->zeros_first = false;
                continue;
            }
            const uint32_t index = take(&s->weights);
            const uint32_t value = index < s->palette_size ? s->palette[index]
                                                           : index - s->palette_size + s->direct_offset;
            *weight = (int16_t)((value & 1) != 0 ? -(int32_t)(value >> 1) : (int32_t)(value >> 1));
            s->zeros_first = s->zero_runs;
            return true;
        }
        if (s->in_slice ? !read_chunk(npu, s) : !open_slice(npu, s))
            return false;
    }
}
