// A stand-in for libtt_metal.so: the calls that tt-metal makes on a real chip and never on a mock one, in its order and
// under its names, so that the hooks see them. What is inside is as little as they ask for. Seen in libtt_metal.so of
// ttnn 0.81.1: `configure_fabric` and `configure_command_queue_programs` finalise a program each for the chip, which asks
// every kernel for its binaries in `finalize_kernel_bins`; `~ProgramImpl` begins with `deallocate_circular_buffers`.
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include "metal.h"

#define NAMED(name) __asm__(name)

struct pair { size_t x, y; };
struct span { const void *data; size_t length; };
struct vector { const void *begin, *end, *storage; };

// Classes are told apart by their tables of virtual functions.
void *device_table[8] NAMED("_ZTVN2tt8tt_metal6DeviceE");
void *mesh_table[8] NAMED("_ZTVN2tt8tt_metal11distributed10MeshDeviceE");

static const void *binary = &device_table;

// Programs and kernels
unsigned add_kernel(struct program *, struct kernel *const *, const unsigned *)
    NAMED("_ZN2tt8tt_metal6detail11ProgramImpl10add_kernelERKSt10shared_ptrINS0_6KernelEERKNS0_23HalProgrammableCoreTypeE");
unsigned add_kernel(struct program *program, struct kernel *const *kernel, const unsigned *core) {
    (void)core;
    program->kernel = *kernel;
    return 0;
}

const struct vector *binaries(const struct kernel *, uint64_t) NAMED("_ZNK2tt8tt_metal6Kernel8binariesEm");
const struct vector *binaries(const struct kernel *kernel, uint64_t build) {
    (void)kernel, (void)build;
    static struct vector one;
    one.begin = &binary, one.end = one.storage = &binary + 1;
    return &one;
}

unsigned packed_size(const struct kernel *, void *, int)
    NAMED("_ZNK2tt8tt_metal6Kernel22get_binary_packed_sizeEPNS0_7IDeviceEi");
unsigned packed_size(const struct kernel *kernel, void *device, int at) {
    (void)device, (void)at;
    return kernel->bytes;
}

struct vector *core_ranges(struct vector *, const struct kernel *) NAMED("_ZNK2tt8tt_metal6Kernel18logical_corerangesEv");
struct vector *core_ranges(struct vector *result, const struct kernel *kernel) {
    unsigned *cores = malloc(sizeof *cores);
    *cores = kernel->cores;
    result->begin = cores, result->end = result->storage = cores + 1;
    return result;
}

unsigned num_cores(const struct vector *) NAMED("_ZNK2tt8tt_metal12CoreRangeSet9num_coresEv");
unsigned num_cores(const struct vector *ranges) { return *(const unsigned *)ranges->begin; }

void release_memory(void *) NAMED("_ZdlPv");
void release_memory(void *memory) { free(memory); }

unsigned finalize_kernel_bins(void *, unsigned, const void *, void *, unsigned, unsigned *, unsigned *)
    NAMED("_ZN2tt8tt_metal16program_dispatch20finalize_kernel_binsEPNS0_7IDeviceEjRKSt13unordered_mapIjSt10shared_ptrINS0_6KernelEESt4hashIjESt8equal_toIjESaISt4pairIKjS7_EEERSt6vectorIS5_INS0_11KernelGroupEESaISL_EEjRjSP_");
unsigned finalize_kernel_bins(void *device, unsigned core, const void *kernels, void *groups, unsigned base, unsigned *offset, unsigned *size) {
    (void)device, (void)core, (void)groups;
    const struct program *program = kernels;
    // Twice: a kernel may be in several groups of cores.
    binaries(program->kernel, 1), binaries(program->kernel, 1);
    *offset = base, *size = program->kernel->bytes;
    return base + *size;
}

void deallocate_circular_buffers(struct program *) NAMED("_ZN2tt8tt_metal6detail11ProgramImpl27deallocate_circular_buffersEv");
void deallocate_circular_buffers(struct program *program) { (void)program; }

void generate_dispatch_commands(struct program *, void *, bool)
    NAMED("_ZN2tt8tt_metal6detail11ProgramImpl26generate_dispatch_commandsEPNS0_11distributed10MeshDeviceEb");
void generate_dispatch_commands(struct program *program, void *mesh, bool cached) { (void)program, (void)mesh, (void)cached; }

struct program *make_program(struct device *device, unsigned bytes, unsigned cores) {
    struct program *program = malloc(sizeof *program);
    struct kernel *kernel = malloc(sizeof *kernel);
    *kernel = (struct kernel){bytes, cores};
    unsigned core = 0, offset, size;
    add_kernel(program, &kernel, &core);
    finalize_kernel_bins(device, 0, program, NULL, 0, &offset, &size);
    return program;
}

void end_program(struct program *program) {
    deallocate_circular_buffers(program);
    free(program->kernel);
    free(program);
}

// The ring for kernels
void init_add_buffer(void *, unsigned, unsigned) NAMED("_ZN2tt8tt_metal21WorkerConfigBufferMgr15init_add_bufferEjj");
void init_add_buffer(void *manager, unsigned address, unsigned size) { (void)manager, (void)address, (void)size; }

struct pair reserve(void *, const struct vector *) NAMED("_ZN2tt8tt_metal21WorkerConfigBufferMgr7reserveERKSt6vectorIjSaIjEE");
struct pair reserve(void *manager, const struct vector *sizes) {
    (void)manager, (void)sizes;
    return (struct pair){1, 2};
}

static char manager[8];

void dispatch(struct device *device, struct program *program) {
    static const unsigned sizes[2] = {528, 0};
    const struct vector asked = {sizes, sizes + 2, sizes + 2};
    generate_dispatch_commands(program, device, false);
    const struct pair reserved = reserve(manager, &asked);
    if (reserved.x != 1 || reserved.y != 2) abort();
}

// Buffers
size_t buffer_id(const struct buffer *) NAMED("_ZNK2tt8tt_metal6Buffer9unique_idEv");
size_t buffer_id(const struct buffer *buffer) { return buffer->id; }
size_t buffer_size(const struct buffer *) NAMED("_ZNK2tt8tt_metal6Buffer4sizeEv");
size_t buffer_size(const struct buffer *buffer) { return buffer->size; }
unsigned buffer_type(const struct buffer *) NAMED("_ZNK2tt8tt_metal6Buffer11buffer_typeEv");
unsigned buffer_type(const struct buffer *buffer) { (void)buffer; return 0; }
void *buffer_device(const struct buffer *) NAMED("_ZNK2tt8tt_metal6Buffer6deviceEv");
void *buffer_device(const struct buffer *buffer) { return buffer->device; }

uint64_t allocate_buffer(void *, struct buffer *) NAMED("_ZN2tt8tt_metal13AllocatorImpl15allocate_bufferEPNS0_6BufferE");
uint64_t allocate_buffer(void *allocator, struct buffer *buffer) { (void)allocator; return 64 * buffer->id; }

static void allocate(struct device *device, size_t size) {
    static size_t last;
    struct buffer buffer = {++last, size, device};
    allocate_buffer(device->allocator, &buffer);
}

// Devices
unsigned device_arch(const void *) NAMED("_ZNK2tt8tt_metal6Device4archEv");
unsigned device_arch(const void *device) { (void)device; return 3; }
struct pair grid(const void *) NAMED("_ZNK2tt8tt_metal6Device17logical_grid_sizeEv");
struct pair grid(const void *device) { (void)device; return (struct pair){14, 10}; }
unsigned l1_per_core(const void *) NAMED("_ZNK2tt8tt_metal6Device16l1_size_per_coreEv");
unsigned l1_per_core(const void *device) { (void)device; return 1572864; }

void construct(struct device *, void *, void *, int, unsigned char, size_t, size_t, struct span, bool, unsigned, unsigned, size_t)
    NAMED("_ZN2tt8tt_metal6DeviceC1EPNS0_8MetalEnvEPNS0_12MetalContextEihmmSt4spanIKjLm18446744073709551615EEbjjm");
void construct(struct device *device, void *env, void *context, int id, unsigned char queues, size_t l1_small, size_t trace,
               struct span remap, bool minimal, unsigned core, unsigned worker, size_t start) {
    (void)env, (void)context, (void)id, (void)queues, (void)l1_small, (void)trace, (void)remap, (void)minimal, (void)core, (void)worker, (void)start;
    device->table = &device_table[2];
}

bool initialize(struct device *, unsigned char, size_t, size_t, size_t, struct span, bool)
    NAMED("_ZN2tt8tt_metal6Device10initializeEhmmmSt4spanIKjLm18446744073709551615EEb");
bool initialize(struct device *device, unsigned char queues, size_t l1_small, size_t trace, size_t start, struct span remap, bool minimal) {
    (void)device, (void)queues, (void)l1_small, (void)trace, (void)start, (void)remap, (void)minimal;
    return true;
}

bool close_device(struct device *) NAMED("_ZN2tt8tt_metal6Device5closeEv");
bool close_device(struct device *device) { (void)device; return true; }

void configure_fabric(struct device *) NAMED("_ZN2tt8tt_metal6Device16configure_fabricEv");
void configure_fabric(struct device *device) {
    for (int at = 0; at < 2; ++at) make_program(device, 56 * 1024, 1);
}

void configure_command_queues(struct device *, void *)
    NAMED("_ZN2tt8tt_metal6Device32configure_command_queue_programsEPNS0_16DispatchTopologyE");
void configure_command_queues(struct device *device, void *topology) {
    (void)topology;
    for (int at = 0; at < 2; ++at) make_program(device, 46 * 1024, 1);
    // What the system allocates and never gives back.
    allocate(device, 14 * 1024 * 1024);
}

void open_device(struct device *device) {
    const struct span none = {NULL, 0};
    construct(device, NULL, NULL, 0, 1, 0, 0, none, false, 0, 0, 0);
    initialize(device, 1, 0, 0, 0, none, false);
    init_add_buffer(manager, 41088, 70656);
    init_add_buffer(manager, 62256, 26624);
    configure_fabric(device);
    configure_command_queues(device, NULL);
}
