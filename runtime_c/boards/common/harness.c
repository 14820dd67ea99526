/* Runs a generated model on every input the host supplies and hands the results back.
 *
 * Files, through semihosting, in the emulator's working directory:
 *   input.bin    number of inferences (one 32-bit word), then the input tensors of each inference
 *   output.bin   the output tensors of each inference
 *   status.bin   struct status, written last
 * harness_model.h is generated next to the model: its entry function, arena and tensors.
 */
#include "board.h"
#include "harness_model.h"
#include "semihosting.h"

enum outcome {
    OUTCOME_GOOD = 0,
    OUTCOME_NO_INPUT = 1,
    OUTCOME_SHORT_INPUT = 2,
    OUTCOME_MODEL_FAILED = 3,
    OUTCOME_OUTPUT_NOT_WRITTEN = 4,
};

struct status {
    uint32_t outcome;
    int32_t model_result;
    uint32_t inferences;
    uint32_t stack_bytes;
};

struct tensor {
    uint8_t *data;
    uint32_t bytes;
};

/* An input that the model fetches from the input file, by pixels and rows; both 0 for one that is held. */
struct source {
    uint32_t pixel_bytes;
    uint32_t row_bytes;
};

/* Arbitrary memory content a correct model overwrites before it reads it. */
enum { ARENA_POISON = 0xA5 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static uint8_t arena[MODEL_ARENA_BYTES] __attribute__((section(".arena"), aligned(MODEL_ARENA_ALIGNMENT)));
#if MODEL_TENSOR_BYTES > 0
static uint8_t tensor_data[MODEL_TENSOR_BYTES] __attribute__((section(".arena"), aligned(MODEL_ARENA_ALIGNMENT)));
#endif

static struct status status;
static const struct tensor inputs[] = MODEL_INPUTS;
static const struct tensor outputs[] = MODEL_OUTPUTS;
static const struct source sources[] = MODEL_SOURCES;
static intptr_t input_file;
/* Where the inputs of this inference begin in the input file. */
static uint32_t starts[COUNT_OF(inputs) + 1];

static inline int supply(const struct source *source, int32_t row, int32_t rows, int32_t column, int32_t columns,
                         uint8_t *destination, int32_t pitch) {
    const uint32_t bytes = (uint32_t)columns * source->pixel_bytes;
    uint32_t from = starts[source - sources] + (uint32_t)row * source->row_bytes + (uint32_t)column * source->pixel_bytes;
    for (; rows > 0; --rows, from += source->row_bytes, destination += pitch) {
        if (semihosting_seek(input_file, from) != 0 || semihosting_read(input_file, destination, bytes) != 0) {
            return 1;
        }
    }
    return 0;
}

MODEL_PULLS

static const void *const arguments[] = MODEL_ARGUMENTS;

static enum outcome run_one(intptr_t output_file) {
    for (uint32_t i = 0; i < COUNT_OF(inputs); ++i) {
        starts[i + 1] = starts[i] + inputs[i].bytes;
        if (sources[i].pixel_bytes == 0 &&
            (semihosting_seek(input_file, starts[i]) != 0 ||
             semihosting_read(input_file, inputs[i].data, inputs[i].bytes) != 0)) {
            return OUTCOME_SHORT_INPUT;
        }
    }
    uint32_t stack_bytes;
    status.model_result =
        board_call_model((board_entry)MODEL_ENTRY, arguments, MODEL_ARGUMENT_COUNT, &stack_bytes);
    if (stack_bytes > status.stack_bytes) {
        status.stack_bytes = stack_bytes;
    }
    if (status.model_result != 0) {
        return OUTCOME_MODEL_FAILED;
    }
    for (uint32_t i = 0; i < COUNT_OF(outputs); ++i) {
        if (semihosting_write(output_file, outputs[i].data, outputs[i].bytes) != 0) {
            return OUTCOME_OUTPUT_NOT_WRITTEN;
        }
    }
    starts[0] = starts[COUNT_OF(inputs)];
    ++status.inferences;
    return OUTCOME_GOOD;
}

static enum outcome run_all(void) {
    uint32_t inferences;
    input_file = semihosting_open("input.bin", SEMIHOSTING_READ);
    if (input_file < 0 || semihosting_read(input_file, &inferences, sizeof inferences) != 0) {
        return OUTCOME_NO_INPUT;
    }
    starts[0] = sizeof inferences;
    intptr_t output_file = semihosting_open("output.bin", SEMIHOSTING_WRITE);
    if (output_file < 0) {
        return OUTCOME_OUTPUT_NOT_WRITTEN;
    }
    enum outcome outcome = OUTCOME_GOOD;
    while (outcome == OUTCOME_GOOD && status.inferences < inferences) {
        outcome = run_one(output_file);
    }
    semihosting_close(output_file);
    semihosting_close(input_file);
    return outcome;
}

_Noreturn void harness_main(void) {
    for (uint32_t i = 0; i < sizeof arena; ++i) {
        arena[i] = ARENA_POISON;
    }
    status.outcome = run_all();
    intptr_t file = semihosting_open("status.bin", SEMIHOSTING_WRITE);
    if (file >= 0) {
        semihosting_write(file, &status, sizeof status);
        semihosting_close(file);
    }
    semihosting_exit(status.outcome == OUTCOME_GOOD ? 0 : 1);
}
