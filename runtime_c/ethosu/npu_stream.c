/* A driver payload (COP1): which NPU it is for, then commands until STOP. */
#include <string.h>

#include "npu_model.h"

enum { ACTION_CONFIG = 1, ACTION_STREAM = 2, ACTION_NOP = 5 };
enum { STOP = 0, IRQ = 1, CONV = 2, DEPTHWISE = 3, POOL = 5, ELEMENTWISE = 6, DMA_START = 16, DMA_WAIT, KERNEL_WAIT,
       PMU_MASK };
enum { PAYLOAD = 0x4000, OPCODE = 0x3FF, INTERNAL = 0x100 };

static bool copy(npu_model *npu)
{
    uint32_t source, target;
    uint64_t length, start;
    uint8_t *to = npu->buffer;
    size_t size = npu->buffer_bytes;
    npu_span from;
    if (!npu_get(npu, NPU_DMA0_SRC_REGION, &source) || !npu_get(npu, NPU_DMA0_DST_REGION, &target) ||
        !npu_get_wide(npu, NPU_DMA0_LEN, &length) || !npu_get_wide(npu, NPU_DMA0_DST, &start))
        return false;
    if (source >= NPU_REGIONS || (target & ~(uint32_t)INTERNAL) >= NPU_REGIONS)
        return npu_fail(npu, "a transfer has an unknown mode");
    if ((target & INTERNAL) == 0 && !npu_region(npu, NPU_DMA0_DST_REGION, &to, &size))
        return false;
    if (!npu_get_span(npu, NPU_DMA0_SRC_REGION, NPU_DMA0_SRC, length, &from))
        return false;
    if (start > size || length > size - start)
        return npu_fail(npu, "a transfer leaves its region");
    memmove(to + start, from.bytes, (size_t)length);
    return true;
}

static bool command(npu_model *npu, uint32_t number, uint32_t parameter)
{
    switch (number) {
    case CONV:
        return npu_convolution(npu, false);
    case DEPTHWISE:
        return npu_convolution(npu, true);
    case POOL:
        return npu_pooling(npu, parameter);
    case ELEMENTWISE:
        return npu_elementwise(npu, parameter);
    case DMA_START:
        return copy(npu);
    case IRQ:
    case DMA_WAIT:
    case KERNEL_WAIT:
    case PMU_MASK:
        return true;
    default:
        return npu_fail(npu, "an unknown command");
    }
}

static uint32_t word_at(const uint8_t *payload, size_t index)
{
    uint32_t word;
    memcpy(&word, payload + 4 * index, 4);
    return word;
}

static bool run_commands(npu_model *npu, const uint8_t *words, size_t count)
{
    for (size_t i = 0; i < count;) {
        const uint32_t word = word_at(words, i++), number = word & OPCODE, parameter = word >> 16;
        if ((word & 0xFC00) == PAYLOAD) {
            if (i == count)
                return npu_fail(npu, "the command stream ends within a command");
            if (number >= NPU_REGISTERS)
                return npu_fail(npu, "an unknown register");
            npu->wide[number] = (uint64_t)parameter << 32 | word_at(words, i++);
            npu->wide_set[number] = true;
        } else if ((word & 0xFC00) != 0 || number >= 2 * NPU_REGISTERS) {
            return npu_fail(npu, "an unknown command");
        } else if (number >= NPU_REGISTERS) {
            npu->narrow[number - NPU_REGISTERS] = (uint16_t)parameter;
            npu->narrow_set[number - NPU_REGISTERS] = true;
        } else if (number == STOP) {
            return i == count || npu_fail(npu, "commands follow STOP");
        } else if (!command(npu, number, parameter)) {
            return false;
        }
    }
    return npu_fail(npu, "the command stream ends without STOP");
}

static bool configure(npu_model *npu, uint32_t word)
{
    npu->macs = 1u << (word & 0xF);
    npu->buffer_bytes = (word >> 8 & 0xFF) * 1024;
    if ((word >> 4 & 0xF) != 0 || word >> 28 > 1 || npu->macs < 32 || npu->macs > 256)
        return npu_fail(npu, "the payload is for another NPU than Ethos-U55 or U65 with up to 256 MAC per cycle");
    return (npu->buffer_bytes >= 2048 && npu->buffer_bytes <= NPU_BUFFER_BYTES) ||
           npu_fail(npu, "the payload is for an NPU with an unknown buffer");
}

static bool run_payload(npu_model *npu, const uint8_t *payload, size_t words)
{
    if (words < 4 || memcmp(payload, "COP1", 4) != 0)
        return npu_fail(npu, "the payload does not start with COP1");
    for (size_t i = 1; i < words;) {
        const uint32_t word = word_at(payload, i++);
        if ((word & 0xFF) == ACTION_CONFIG && i + 2 <= words) {
            if (!configure(npu, word_at(payload, i)))
                return false;
            i += 2;
        } else if ((word & 0xFF) == ACTION_STREAM) {
            if (npu->macs == 0)
                return npu_fail(npu, "the payload does not say which NPU it is for");
            if ((((size_t)word & 0xFF00) << 8 | word >> 16) != words - i)
                return npu_fail(npu, "the payload has another length than it says");
            return run_commands(npu, payload + 4 * i, words - i);
        } else if ((word & 0xFF) != ACTION_NOP) {
            return npu_fail(npu, "the payload has an unknown action");
        }
    }
    return npu_fail(npu, "the payload has no command stream");
}

int npu_run(npu_model *npu, const void *payload, size_t bytes)
{
    npu->macs = 0;
    npu->error = NULL;
    memset(npu->narrow_set, 0, sizeof npu->narrow_set);
    memset(npu->wide_set, 0, sizeof npu->wide_set);
    if (bytes % 4 != 0) {
        npu_fail(npu, "the payload is no sequence of words");
        return -1;
    }
    return run_payload(npu, payload, bytes / 4) ? 0 : -1;
}
