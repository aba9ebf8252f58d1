// tt-alloc: tells the allocations of this process, for Tenstorrent accelerators.
//
// Made from producer/capi/src by tests/header.rs: do not edit. Every function may be called by any thread at any time, also in a forked
// child, but not in a signal handler: see below. None waits for a reader, ends the process or changes errno; for other threads of this process
// one waits at most 100 ms, where one makes the ring or room in it, where many report at the same addresses at once, and at a device's close.
// At most one line is ever printed: where tracking cannot begin, or there are too many tags. What cannot be told is counted.
//
// Signal handlers: the functions that name blocks by address (tt_alloc_alloc_address, tt_alloc_free_address, tt_alloc_free_address_in,
// tt_alloc_cb_alloc, tt_alloc_cb_free, tt_alloc_kernel_load, tt_alloc_kernel_unload) and tt_alloc_device_close use malloc and free, and must
// not be called there: a handler that interrupts malloc would wait for ever. tt_alloc_alloc and tt_alloc_free, which are told the block, may
// be, once the process (after a fork, the child) and the thread have told something outside of a handler: the first event uses malloc.


#ifndef TT_ALLOC_H
#define TT_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

// Version of this interface: changes when a function or a structure is added.
#define TT_ALLOC_API_VERSION 1

// Largest device number that can be told. What names a larger one is counted as invalid.
#define TT_ALLOC_MAX_DEVICE 1023

// Memory kinds 0 to 4 are tt-metal's BufferType. Device DRAM.
#define TT_ALLOC_DRAM 0

// L1: SRAM of the Tensix cores.
#define TT_ALLOC_L1 1

// Host memory; in no device total.
#define TT_ALLOC_SYSTEM_MEMORY 2

// The small region at the top of L1.
#define TT_ALLOC_L1_SMALL 3

// The trace region of DRAM.
#define TT_ALLOC_TRACE 4

// Circular (and dataflow) buffers of programs: bytes of all cores together.
#define TT_ALLOC_CB 5

// Program binaries: bytes of all cores together.
#define TT_ALLOC_KERNEL 6

// Kernel types, tt-metal's numbers. An application's kernel; so is every other number.
#define TT_ALLOC_KERNEL_APPLICATION 0

// A kernel of the fabric.
#define TT_ALLOC_KERNEL_FABRIC 1

// A kernel of the dispatcher.
#define TT_ALLOC_KERNEL_DISPATCH 2

// Chip generations, tt-metal's numbers. Not known.
#define TT_ALLOC_ARCH_UNKNOWN 0

// Grayskull.
#define TT_ALLOC_ARCH_GRAYSKULL 1

// Wormhole B0.
#define TT_ALLOC_ARCH_WORMHOLE_B0 2

// Blackhole.
#define TT_ALLOC_ARCH_BLACKHOLE 3

// Quasar.
#define TT_ALLOC_ARCH_QUASAR 4

// Flag of a block: `id` is an address, which may be live twice for a moment; a free takes the oldest.
#define TT_ALLOC_ID_IS_ADDRESS 1

// Flag of a block: it is the system's (fabric, dispatch), not the application's.
#define TT_ALLOC_SYSTEM 2

// Flag of a block: a circular buffer that lies in an L1 buffer, which is told itself; it takes no bytes of its own.
#define TT_ALLOC_GLOBALLY_ALLOCATED 4

// Flag of a block: its size is a guess.
#define TT_ALLOC_SIZE_UNKNOWN 8

// Flag of a block: a kernel of the fabric.
#define TT_ALLOC_FABRIC 16

// Flag of a block: a kernel of the dispatcher.
#define TT_ALLOC_DISPATCH 32

// One block, for callers who know at a free what they had said at the allocation. Begin with all zero.
typedef struct tt_alloc_block {
  // What names this block among those of its device and memory kind; below 2^63. Best a number that is never used again.
  uint64_t id;
  // Its address on the device, in a bank.
  uint64_t address;
  // Bytes asked for.
  uint64_t size;
  // Bytes that the allocator took for them, on all banks or cores together; 0: as many as asked for.
  uint64_t footprint;
  // The process's logical device number.
  uint32_t device;
  // Program that it belongs to, for circular buffers, or group; 0: none.
  uint32_t program;
  // One of the memory kinds.
  uint8_t memory;
  // 0.
  uint8_t reserved;
  // Flags of a block, added up.
  uint16_t flags;
  // 0.
  uint32_t reserved2;
} tt_alloc_block;

// One device, as it was opened. Begin with all zero.
typedef struct tt_alloc_device {
  // The chip's unique id, by which processes that use one chip are found together; 0: not known.
  uint64_t chip_id;
  // Board id; 0: not known.
  uint64_t board_id;
  // The process's logical device number.
  uint32_t device;
  // One of the chip generations.
  uint32_t arch;
  // Tensix cores after harvesting; 0: not known.
  uint32_t cores;
  // 0.
  uint32_t reserved;
} tt_alloc_device;

// What the functions that name blocks by address had to leave open in this process so far.
typedef struct tt_alloc_doubt_counts {
  // Frees of what is not live: nothing was told of them.
  uint64_t unmatched_frees;
  // Frees that did not say a memory kind while buffers of several kinds were live at the address: the oldest was taken.
  uint64_t ambiguous_frees;
} tt_alloc_doubt_counts;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of this library, such as "0.1.0". Never freed.
const char *tt_alloc_version(void);

// Version of the interface that this library has: TT_ALLOC_API_VERSION of its header.
uint32_t tt_alloc_api_version(void);

// Whether tracking is on in this process: TT_ALLOC_TRACKING_ENABLED is 1, true, on or yes. Decided at the first call. Where it is off,
// the other functions do nothing.
bool tt_alloc_enabled(void);

// Something was allocated. `block` is read before this returns; null does nothing.
//
// # Safety
// `block` is null or points to a block.
void tt_alloc_alloc(const struct tt_alloc_block *block);

// What tt_alloc_alloc() has told is freed: the same device, memory and id, and best the same of everything else. What is subtracted is
// what was told at the allocation; size and footprint count where records had to be dropped.
//
// # Safety
// `block` is null or points to a block.
void tt_alloc_free(const struct tt_alloc_block *block);

// Everything of a memory kind and a program on a device is freed: the circular buffers of a program that is gone. `blocks` and `bytes`
// say how much that is; 0: not known. Does nothing for program 0.
void tt_alloc_free_group(uint32_t device, uint8_t memory, uint32_t program, uint64_t blocks, uint64_t bytes);

// A program was dispatched to a device that tt_alloc_device_info() has told: its circular buffers are the resident ones now.
void tt_alloc_program_resident(uint32_t device, uint32_t program);

// A device was opened. `device` is read before this returns; null does nothing.
//
// # Safety
// `device` is null or points to a device.
void tt_alloc_device_info(const struct tt_alloc_device *device);

// The capacity of one memory kind of a device: bytes of all banks together, and how many banks; 0 banks: not known.
void tt_alloc_device_capacity(uint32_t device, uint8_t memory, uint64_t bytes, uint32_t banks);

// A device was closed: whatever is live on it has ended.
void tt_alloc_device_close(uint32_t device);

// Something was allocated at an address, which is its only name. This library keeps in mind what it was until it is freed.
//
// An address may be live several times: on several devices, in several memory kinds, and twice in one where the report of a free comes
// after that of the next allocation.
void tt_alloc_alloc_address(uint32_t device, uint8_t memory, uint64_t address, uint64_t size);

// The buffer at an address (of memory kinds 0 to 4) is freed. If several are live there, it is the oldest, whichever memory kind it is
// of. Does nothing if none is.
void tt_alloc_free_address(uint32_t device, uint64_t address);

// What is live at an address in one memory kind is freed: the oldest, if there are several. Does nothing if nothing is.
void tt_alloc_free_address_in(uint32_t device, uint8_t memory, uint64_t address);

// A circular buffer of no known program: bytes of all cores together. Programs may have the same address.
void tt_alloc_cb_alloc(uint32_t device, uint64_t size, uint64_t cb);

// A circular buffer of tt_alloc_cb_alloc() is freed. If several are live there, it is the oldest of this size, or the oldest if none
// is of this size, or size is 0. What is subtracted is what was told at the allocation.
void tt_alloc_cb_free(uint32_t device, uint64_t size, uint64_t cb);

// A kernel was loaded: bytes of its binary on all cores together, and its type. `kernel` names it, such as the address of its program.
void tt_alloc_kernel_load(uint32_t device, uint64_t size, uint64_t kernel, uint8_t kernel_type);

// A kernel of tt_alloc_kernel_load() was unloaded. Of several with this name, which and how much as in tt_alloc_cb_free(); size 0 is as
// good as any.
void tt_alloc_kernel_unload(uint32_t device, uint64_t size, uint64_t kernel);

// Until tt_alloc_tag_pop(), what this thread allocates is of the phase of this name ("model load", "decode"): tt-alloc buffers shows it.
// The name is read before this returns; its first 32 bytes count, up to a character's end. Null or "" is no phase. Phases lie within
// each other, 64 deep; what is allocated deeper is of the 64th. A process has at most 255 names; further ones are no phase.
//
// # Safety
// `name` is null or points to bytes that end with a NUL.
void tt_alloc_tag_push(const char *name);

// The phase before the last tt_alloc_tag_push() of this thread goes on. Does nothing if there is none.
void tt_alloc_tag_pop(void);

// What the functions that name blocks by address had to leave open in this process so far. Null does nothing.
//
// # Safety
// `doubts` is null or points to where they may be written.
void tt_alloc_doubts(struct tt_alloc_doubt_counts *doubts);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TT_ALLOC_H */
