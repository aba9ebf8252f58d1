// tt-metal's AllocationClient over the C API of tt-alloc, for C++17.
//
// A tt-metal tree that calls tt_metal/impl/allocator/allocation_client.hpp compiles with this file in its place, without the .cpp that
// came with it, and links with tt_alloc. Nothing here throws or waits for a reader; what is printed at most, and for which other threads one
// waits at most 100 ms, stands at the top of tt_alloc.h, and at its functions what each report means where it leaves something open.
//
// Not for signal handlers: the reports name blocks by address, for which malloc is used, as the original did. See tt_alloc.h.

#pragma once

#include "tt_alloc.h"

// Callers of the original got these through it.
#include <atomic>
#include <cstdint>
#include <mutex>

namespace tt::tt_metal {

class AllocationClient {
public:
    /// A buffer was allocated. buffer_type is tt-metal's BufferType: DRAM 0, L1 1, SYSTEM_MEMORY 2, L1_SMALL 3, TRACE 4.
    /// buffer_id is its address, which may be live on several devices and in several types at once.
    static void report_allocation(int device_id, uint64_t size, uint8_t buffer_type, uint64_t buffer_id) noexcept {
        tt_alloc_alloc_address(device(device_id), type(buffer_type), buffer_id, size);
    }

    /// A buffer was freed. If buffers of several types are live at this address, the oldest is meant.
    static void report_deallocation(int device_id, uint64_t buffer_id) noexcept {
        tt_alloc_free_address(device(device_id), buffer_id);
    }

    /// A buffer was freed, for callers who know its type (the original has no such parameter).
    static void report_deallocation(int device_id, uint64_t buffer_id, uint8_t buffer_type) noexcept {
        tt_alloc_free_address_in(device(device_id), type(buffer_type), buffer_id);
    }

    /// A circular buffer was allocated: bytes of all cores together.
    static void report_cb_allocation(int device_id, uint64_t size, uint64_t cb_id) noexcept {
        tt_alloc_cb_alloc(device(device_id), size, cb_id);
    }

    /// A circular buffer was freed. size may be 0; what is subtracted is what was reported at its allocation.
    static void report_cb_deallocation(int device_id, uint64_t size, uint64_t cb_id) noexcept {
        tt_alloc_cb_free(device(device_id), size, cb_id);
    }

    /// A kernel was loaded. kernel_type: 0 application, 1 fabric, 2 dispatch.
    static void report_kernel_load(int device_id, uint64_t size, uint64_t kernel_id, uint8_t kernel_type = 0) noexcept {
        tt_alloc_kernel_load(device(device_id), size, kernel_id, kernel_type);
    }

    /// A kernel was unloaded. size may be 0; what is subtracted is what was reported when it was loaded.
    static void report_kernel_unload(int device_id, uint64_t size, uint64_t kernel_id) noexcept {
        tt_alloc_kernel_unload(device(device_id), size, kernel_id);
    }

    /// A device was closed: whatever is live on it has ended (the original has no such report, and kept it until the process ended).
    static void report_device_close(int device_id) noexcept { tt_alloc_device_close(device(device_id)); }

    /// Whether TT_ALLOC_TRACKING_ENABLED is set to 1, true, on or yes.
    static bool is_enabled() noexcept { return tt_alloc_enabled(); }

    AllocationClient() = delete;

private:
    // A negative number is none that a device can have, and counted as such.
    static uint32_t device(int device_id) noexcept { return static_cast<uint32_t>(device_id); }

    // Circular buffers and kernels have numbers behind tt-metal's, and functions of their own.
    static uint8_t type(uint8_t buffer_type) noexcept {
        return buffer_type <= TT_ALLOC_TRACE ? buffer_type : static_cast<uint8_t>(UINT8_MAX);
    }
};

}  // namespace tt::tt_metal
