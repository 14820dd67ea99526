/* QEMU TCG plugin: exact instruction counts of one inference, per layer and on request per address.
 *
 * Every executed guest instruction adds one to a counter. A snapshot (address, counter before the
 * instruction) is written when the entry function is entered, when it has returned and when a layer
 * function is entered from the entry function's body. The last condition keeps a layer whose first
 * instruction is also its loop head from being taken for several layers: a layer marker is only
 * believed when an instruction of the entry function was executed since the previous one.
 *
 * Options:
 *   markers=FILE  one marker per line: "entry ADDRESS", "return ADDRESS", "layer ADDRESS" or
 *                 "body FIRST END" (the entry function's instructions, END exclusive), hexadecimal
 *   out=FILE      the snapshots, "KIND ADDRESS COUNT" per line
 *   counts=FILE   optional: "ADDRESS COUNT" of every instruction executed during the first inference
 *
 * The declarations below restate the few parts of plugin API version 1 (QEMU 6.0 to 8.2, documented in
 * QEMU's manual, "QEMU TCG Plugins") that are used: distributions do not package the header.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;

enum { CALLBACK_READS_NO_REGISTERS = 0 };
enum { INLINE_ADD_U64 = 0 };

typedef void (*translation_callback)(plugin_id id, struct qemu_plugin_tb *block);
typedef void (*execution_callback)(unsigned int cpu, void *user_data);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, translation_callback callback);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *instruction, execution_callback callback,
                                            int flags, void *user_data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *instruction, int operation,
                                                void *counter, uint64_t amount);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *instruction);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

enum marker_kind { MARKER_ENTRY, MARKER_RETURN, MARKER_LAYER, MARKER_BODY };

static const char *const kind_names[] = {"entry", "return", "layer", "body"};

struct marker {
    enum marker_kind kind;
    uint64_t first;
    uint64_t end;
};

static struct marker *markers;
static size_t marker_count;
static uint64_t executed;
static bool entry_body_ran;
static FILE *snapshots;

/* Per-address counters: one page of counters per 4 KiB of guest code, at two-byte instruction steps. */
enum { PAGE_BITS = 12, SLOTS_PER_PAGE = 1 << (PAGE_BITS - 1), PAGES = 1 << (32 - PAGE_BITS) };
static const char *counts_path;
static uint64_t **count_pages;

static uint64_t *address_counter(uint64_t address) {
    uint64_t page = (address >> PAGE_BITS) % PAGES;
    if (count_pages[page] == NULL) {
        count_pages[page] = calloc(SLOTS_PER_PAGE, sizeof(uint64_t));
        if (count_pages[page] == NULL) {
            fprintf(stderr, "counting plugin: out of memory\n");
            exit(EXIT_FAILURE);
        }
    }
    return &count_pages[page][(address >> 1) % SLOTS_PER_PAGE];
}

static void clear_address_counts(void) {
    for (size_t page = 0; page < PAGES; ++page) {
        if (count_pages[page] != NULL) {
            memset(count_pages[page], 0, SLOTS_PER_PAGE * sizeof(uint64_t));
        }
    }
}

static void write_address_counts(void) {
    FILE *file = fopen(counts_path, "w");
    if (file == NULL) {
        fprintf(stderr, "counting plugin: cannot write %s: %s\n", counts_path, strerror(errno));
        exit(EXIT_FAILURE);
    }
    for (uint64_t page = 0; page < PAGES; ++page) {
        for (uint64_t slot = 0; count_pages[page] != NULL && slot < SLOTS_PER_PAGE; ++slot) {
            if (count_pages[page][slot] != 0) {
                fprintf(file, "%" PRIx64 " %" PRIu64 "\n", (page << PAGE_BITS) | (slot << 1),
                        count_pages[page][slot]);
            }
        }
    }
    fclose(file);
}

static void write_snapshot(const struct marker *marker) {
    fprintf(snapshots, "%s %" PRIx64 " %" PRIu64 "\n", kind_names[marker->kind], marker->first, executed);
}

static void on_entry(unsigned int cpu, void *user_data) {
    static bool counts_cleared;
    (void)cpu;
    if (counts_path != NULL && !counts_cleared) {
        clear_address_counts();
        counts_cleared = true;
    }
    write_snapshot(user_data);
}

static void on_return(unsigned int cpu, void *user_data) {
    static bool counts_written;
    (void)cpu;
    write_snapshot(user_data);
    fflush(snapshots);
    if (counts_path != NULL && !counts_written) {
        write_address_counts();
        counts_written = true;
    }
}

static void on_body(unsigned int cpu, void *user_data) {
    (void)cpu;
    (void)user_data;
    entry_body_ran = true;
}

static void on_layer(unsigned int cpu, void *user_data) {
    (void)cpu;
    if (entry_body_ran) {
        entry_body_ran = false;
        write_snapshot(user_data);
    }
}

static const execution_callback callbacks[] = {on_entry, on_return, on_layer, on_body};

static void on_translation(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    size_t count = qemu_plugin_tb_n_insns(block);
    for (size_t i = 0; i < count; ++i) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        uint64_t address = qemu_plugin_insn_vaddr(instruction);
        for (size_t m = 0; m < marker_count; ++m) {
            if (address >= markers[m].first && address < markers[m].end) {
                qemu_plugin_register_vcpu_insn_exec_cb(instruction, callbacks[markers[m].kind],
                                                       CALLBACK_READS_NO_REGISTERS, &markers[m]);
            }
        }
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD_U64, &executed, 1);
        if (counts_path != NULL) {
            qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD_U64, address_counter(address),
                                                       1);
        }
    }
}

static bool parse_marker(const char *line, struct marker *marker) {
    char kind[8];
    int fields = sscanf(line, "%7s %" SCNx64 " %" SCNx64, kind, &marker->first, &marker->end);
    for (int k = 0; k < (int)(sizeof kind_names / sizeof kind_names[0]); ++k) {
        if (fields >= 2 && strcmp(kind, kind_names[k]) == 0) {
            marker->kind = (enum marker_kind)k;
            if (fields == 2) {
                marker->end = marker->first + 1;
            }
            return true;
        }
    }
    return false;
}

static bool read_markers(const char *path) {
    char line[128];
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "counting plugin: cannot read %s: %s\n", path, strerror(errno));
        return false;
    }
    bool good = true;
    while (good && fgets(line, sizeof line, file) != NULL) {
        struct marker *larger = realloc(markers, (marker_count + 1) * sizeof *markers);
        good = larger != NULL;
        if (good) {
            markers = larger;
            good = parse_marker(line, &markers[marker_count++]);
        }
    }
    fclose(file);
    if (!good) {
        fprintf(stderr, "counting plugin: bad marker in %s: %s\n", path, line);
    }
    return good;
}

static const char *option_value(const char *argument, const char *name) {
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv) {
    const char *markers_path = NULL;
    const char *snapshots_path = NULL;
    (void)info;
    for (int i = 0; i < argc; ++i) {
        const char *value;
        if ((value = option_value(argv[i], "markers")) != NULL) {
            markers_path = value;
        } else if ((value = option_value(argv[i], "out")) != NULL) {
            snapshots_path = value;
        } else if ((value = option_value(argv[i], "counts")) != NULL) {
            counts_path = strdup(value);
        } else {
            fprintf(stderr, "counting plugin: unknown option %s\n", argv[i]);
            return -1;
        }
    }
    if (markers_path == NULL || snapshots_path == NULL) {
        fprintf(stderr, "counting plugin: options markers= and out= are required\n");
        return -1;
    }
    if (!read_markers(markers_path)) {
        return -1;
    }
    if (counts_path != NULL && (count_pages = calloc(PAGES, sizeof *count_pages)) == NULL) {
        fprintf(stderr, "counting plugin: out of memory\n");
        return -1;
    }
    snapshots = fopen(snapshots_path, "w");
    if (snapshots == NULL) {
        fprintf(stderr, "counting plugin: cannot write %s: %s\n", snapshots_path, strerror(errno));
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
