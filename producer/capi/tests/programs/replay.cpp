// Calls AllocationClient as it is told, line by line: what a tt-metal that was changed for the original does. Each line is answered.

#include <allocation_client.hpp>

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>

using tt::tt_metal::AllocationClient;

// The signatures of the original, as function pointers: a caller that was compiled for it finds each of them.
[[maybe_unused]] static void (*const signature_1)(int, uint64_t, uint8_t, uint64_t) = &AllocationClient::report_allocation;
[[maybe_unused]] static void (*const signature_2)(int, uint64_t) = &AllocationClient::report_deallocation;
[[maybe_unused]] static void (*const signature_3)(int, uint64_t, uint64_t) = &AllocationClient::report_cb_allocation;
[[maybe_unused]] static void (*const signature_4)(int, uint64_t, uint64_t) = &AllocationClient::report_cb_deallocation;
[[maybe_unused]] static void (*const signature_5)(int, uint64_t, uint64_t, uint8_t) = &AllocationClient::report_kernel_load;
[[maybe_unused]] static void (*const signature_6)(int, uint64_t, uint64_t) = &AllocationClient::report_kernel_unload;
[[maybe_unused]] static bool (*const signature_7)() = &AllocationClient::is_enabled;

int main() {
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string what, answer;
        words >> what;
        auto number = [&] {
            int64_t word = 0;
            words >> word;
            return word;
        };
        int device = what == "enabled" || what == "exit" || what == "doubts" ? 0 : static_cast<int>(number());
        uint64_t id = static_cast<uint64_t>(number()), size = static_cast<uint64_t>(number());
        uint8_t type = static_cast<uint8_t>(number());
        if (what == "alloc") {
            AllocationClient::report_allocation(device, size, type, id);
        } else if (what == "free") {
            AllocationClient::report_deallocation(device, id);
        } else if (what == "free_typed") {
            AllocationClient::report_deallocation(device, id, type);
        } else if (what == "cb") {
            AllocationClient::report_cb_allocation(device, size, id);
        } else if (what == "cb_free") {
            AllocationClient::report_cb_deallocation(device, size, id);
        } else if (what == "load") {
            if (type == 0) {
                AllocationClient::report_kernel_load(device, size, id);
            } else {
                AllocationClient::report_kernel_load(device, size, id, type);
            }
        } else if (what == "unload") {
            AllocationClient::report_kernel_unload(device, size, id);
        } else if (what == "close") {
            AllocationClient::report_device_close(device);
        } else if (what == "enabled") {
            answer = AllocationClient::is_enabled() ? "1" : "0";
        } else if (what == "doubts") {
            tt_alloc_doubt_counts doubts;
            tt_alloc_doubts(&doubts);
            answer = std::to_string(doubts.unmatched_frees) + " " + std::to_string(doubts.ambiguous_frees);
        } else if (what == "exit") {
            return 0;
        } else {
            return 2;
        }
        std::cout << "ok " << answer << std::endl;
    }
    return 0;
}
