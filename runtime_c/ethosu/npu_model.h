/*
 * Functional model of the command stream of Arm Ethos-U55 and U65, in C99 without a heap: what tvm_tinyml.ethosu does in
 * NumPy, for an emulated core that has no NPU. It shows that a stream computes what TFLite does; it is no model of
 * silicon or of time. What it does not know it refuses.
 *
 * Functions that can fail return false and leave the reason in npu->error.
 */
#ifndef TINYML_NPU_MODEL_H
#define TINYML_NPU_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NPU_REGIONS 8
#define NPU_REGISTERS 0x100
#define NPU_BUFFER_BYTES (48 * 1024)
/* Weights of one block of output channels, as 16-bit numbers. */
#ifndef NPU_WEIGHTS
#define NPU_WEIGHTS (96 * 1024)
#endif

enum npu_register {
    NPU_IFM_PAD_TOP = 0x00, NPU_IFM_PAD_LEFT, NPU_IFM_PAD_RIGHT, NPU_IFM_PAD_BOTTOM, NPU_IFM_DEPTH_M1,
    NPU_IFM_PRECISION, NPU_IFM_UPSCALE = 0x07, NPU_IFM_ZERO_POINT = 0x09, NPU_IFM_WIDTH0_M1, NPU_IFM_HEIGHT0_M1,
    NPU_IFM_HEIGHT1_M1, NPU_IFM_REGION = 0x0F,
    NPU_OFM_WIDTH_M1 = 0x11, NPU_OFM_HEIGHT_M1, NPU_OFM_DEPTH_M1, NPU_OFM_PRECISION,
    NPU_OFM_BLK_DEPTH_M1 = 0x17, NPU_OFM_ZERO_POINT, NPU_OFM_WIDTH0_M1 = 0x1A, NPU_OFM_HEIGHT0_M1,
    NPU_OFM_HEIGHT1_M1, NPU_OFM_REGION = 0x1F,
    NPU_KERNEL_WIDTH_M1 = 0x20, NPU_KERNEL_HEIGHT_M1, NPU_KERNEL_STRIDE,
    NPU_ACTIVATION = 0x25, NPU_ACTIVATION_MIN, NPU_ACTIVATION_MAX, NPU_WEIGHT_REGION, NPU_SCALE_REGION,
    NPU_DMA0_SRC_REGION = 0x30, NPU_DMA0_DST_REGION,
    NPU_IFM2_BROADCAST = 0x80, NPU_IFM2_SCALAR, NPU_IFM2_PRECISION = 0x85, NPU_IFM2_ZERO_POINT = 0x89,
    NPU_IFM2_WIDTH0_M1, NPU_IFM2_HEIGHT0_M1, NPU_IFM2_HEIGHT1_M1, NPU_IFM2_REGION = 0x8F
};

enum npu_wide_register {
    NPU_IFM_BASE0 = 0x00, NPU_IFM_STRIDE_X = 0x04, NPU_OFM_BASE0 = 0x10, NPU_OFM_STRIDE_X = 0x14,
    NPU_WEIGHT_BASE = 0x20, NPU_WEIGHT_LENGTH, NPU_SCALE_BASE, NPU_SCALE_LENGTH, NPU_OFM_SCALE, NPU_OPA_SCALE,
    NPU_OPB_SCALE, NPU_DMA0_SRC = 0x30, NPU_DMA0_DST, NPU_DMA0_LEN, NPU_IFM2_BASE0 = 0x80, NPU_IFM2_STRIDE_X = 0x84
};

enum npu_rounding { NPU_TFL, NPU_TRUNCATE, NPU_NATURAL };

typedef struct {
    const uint8_t *bytes;
    size_t size;
} npu_span;

typedef struct {
    uint8_t *region[NPU_REGIONS];
    size_t region_bytes[NPU_REGIONS];
    uint8_t buffer[NPU_BUFFER_BYTES]; /* internal memory; lookup tables lie at its end */
    uint32_t buffer_bytes;
    uint32_t macs;
    uint16_t narrow[NPU_REGISTERS];
    uint64_t wide[NPU_REGISTERS];
    bool narrow_set[NPU_REGISTERS], wide_set[NPU_REGISTERS];
    int16_t weights[NPU_WEIGHTS];
    const char *error;
} npu_model;

/* Where the elements of one operand lie; `first` is the register of IFM, IFM2 or OFM with the lowest number. */
typedef struct {
    npu_model *npu;
    uint8_t *region;
    size_t region_bytes;
    uint64_t base[4];
    int64_t stride_x, stride_y, stride_c;
    uint32_t width0, height0, height1;
    uint32_t height, width, depth, bytes;
    bool is_signed, bricks;
    int32_t zero_point;
} npu_map;

typedef struct {
    uint32_t height, width, stride_y, stride_x, dilation_y, dilation_x;
    uint32_t top, left, bottom, right;
    bool part_kernel_first;
} npu_kernel;

/* npu_registers.c */
bool npu_fail(npu_model *npu, const char *reason);
bool npu_get(npu_model *npu, enum npu_register number, uint32_t *value);
bool npu_get_signed(npu_model *npu, enum npu_register number, int32_t *value);
bool npu_get_wide(npu_model *npu, enum npu_wide_register number, uint64_t *value);
bool npu_scale_register(npu_model *npu, enum npu_wide_register number, uint32_t *multiplier, uint32_t *shift);
bool npu_region(npu_model *npu, enum npu_register number, uint8_t **bytes, size_t *size);
bool npu_get_span(npu_model *npu, enum npu_register region, enum npu_wide_register base, uint64_t length,
                  npu_span *span);
bool npu_read_kernel(npu_model *npu, npu_kernel *kernel);

/* npu_maps.c */
bool npu_input(npu_model *npu, uint32_t height, uint32_t width, uint32_t depth, npu_map *map);
bool npu_second_input(npu_model *npu, uint32_t height, uint32_t width, uint32_t depth, npu_map *map);
bool npu_output(npu_model *npu, npu_map *map);
bool npu_load(const npu_map *map, uint32_t row, uint32_t column, uint32_t channel, int64_t *value);
/* Where elements of a pixel lie from a channel on; `count` is how many are asked for, and then how many lie in a run. */
bool npu_channels(const npu_map *map, uint32_t row, uint32_t column, uint32_t channel, uint32_t *count,
                  const uint8_t **bytes);
bool npu_store(const npu_map *map, uint32_t row, uint32_t column, uint32_t channel, int64_t value);

/* npu_windows.c: the input of an operation with windows, upscaled and padded. */
typedef struct {
    npu_map map;
    uint32_t factor;
    bool zeros;
    uint32_t height, width; /* of the upscaled image */
} npu_image;
bool npu_image_of(npu_model *npu, const npu_kernel *kernel, const npu_map *output, npu_image *image);
/* Whether element (y, x) of the window of output (row, column) has contents, at which pixel; and if it is no padding. */
bool npu_pixel(const npu_image *image, const npu_kernel *kernel, const uint32_t place[4], uint32_t pixel[2],
               bool *inside);
/* Whether element (y, x) of the window of output (row, column) lies inside the image, and its value less zero point. */
bool npu_window(const npu_image *image, const npu_kernel *kernel, const uint32_t place[4], uint32_t channel,
                bool *inside, int64_t *value);

/* npu_output.c */
int64_t npu_multiply(int64_t a, int64_t b);
int64_t npu_shift_half_up(int64_t value, uint32_t shift);
int64_t npu_scaled(int64_t value, uint32_t multiplier, uint32_t shift, enum npu_rounding rounding);
bool npu_rounding_mode(npu_model *npu, enum npu_rounding *rounding);
bool npu_has_global_scale(npu_model *npu, bool *global);
typedef struct {
    npu_map map;
    enum npu_rounding rounding;
    bool global_scale, limited;
    uint32_t multiplier, shift;
    uint32_t function;
    int64_t low, high;
} npu_result;
bool npu_begin_result(npu_model *npu, npu_result *result);
/* Applies OFM_SCALE where it holds for all channels, then all that follows. */
bool npu_finish(npu_result *result, uint32_t row, uint32_t column, uint32_t channel, int64_t value);
/* Zero point, limits, table and store of a result that is scaled already. */
bool npu_finish_scaled(npu_result *result, uint32_t row, uint32_t column, uint32_t channel, int64_t value);

/* npu_weights.c: a compressed stream of weights, one weight after the other. */
typedef struct {
    uint32_t quotient[12], quotients; /* symbols whose remainders are still to come */
    uint32_t carry;                   /* of a quotient that continues in the next chunk */
    uint32_t started, finished, count; /* symbols of the slice with a quotient, with a remainder, in all */
    uint32_t queue[64], head, queued; /* finished and not yet used */
} npu_symbols;
typedef struct {
    npu_span stream;
    uint64_t bit;
    uint16_t palette[32];
    uint32_t palette_size, palette_bits, direct_offset;
    uint32_t zero_divisor, weight_divisor;
    bool has_palette, truncated, uncompressed, zero_runs, in_slice;
    npu_symbols weights, zeros;
    bool zeros_first; /* a run of zeros comes before the next weight */
    uint32_t run;     /* zeros still to be handed out */
} npu_weight_stream;
void npu_open_weights(npu_weight_stream *stream, npu_span span);
bool npu_next_weight(npu_model *npu, npu_weight_stream *stream, int16_t *weight);

/* One operation each. */
bool npu_convolution(npu_model *npu, bool depthwise);
bool npu_pooling(npu_model *npu, uint32_t kind);
bool npu_elementwise(npu_model *npu, uint32_t kind);

/* npu_stream.c: runs a driver payload (COP1); 0, or -1 with npu->error set. */
int npu_run(npu_model *npu, const void *payload, size_t bytes);

#endif
