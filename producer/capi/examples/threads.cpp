// Sixteen threads that allocate and free as tt-metal does: ids are addresses, which are used again at once, by any thread, also before the
// free of their last use was reported; buffers go from thread to thread; the same addresses are live on eight devices.
//
//   c++ -std=c++17 threads.cpp $(pkg-config --cflags --libs tt-alloc) -pthread -o threads
//   TT_ALLOC_TRACKING_ENABLED=1 ./threads [typed | untyped]
//
// typed: DRAM and L1 have the same addresses, and frees say which. untyped: as the original's frees, with one address space for both.
// At each quiet point it says what is live (device, memory kind, bytes, blocks) and waits for a line; after the last, it goes on for ever.

#include <allocation_client.hpp>

#include <array>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

using tt::tt_metal::AllocationClient;

namespace {

constexpr int THREADS = 16, DEVICES = 8, ROUNDS = 4, STEPS = 4000;
constexpr uint64_t ADDRESSES = 256;
constexpr std::array<uint8_t, 4> TYPES = {0, 1, 3, 4};
bool typed = true;

struct Buffer {
    int device;
    uint8_t type;
    uint64_t address, size;
};

// What tt-metal's allocator is here: the truth. The address freed last is given out first.
class Space {
public:
    Space() {
        for (uint64_t n = ADDRESSES; n > 0; n--) {
            free_.push_back(n * 32);
        }
    }
    uint64_t take() {
        std::lock_guard<std::mutex> lock(mutex_);
        if (free_.empty()) {
            return 0;
        }
        uint64_t address = free_.back();
        free_.pop_back();
        return address;
    }
    void give(uint64_t address) {
        std::lock_guard<std::mutex> lock(mutex_);
        free_.push_back(address);
    }

private:
    std::mutex mutex_;
    std::vector<uint64_t> free_;
};

std::array<std::array<Space, TYPES.size()>, DEVICES> spaces;
Space& space(int device, size_t type) { return spaces[device][typed ? type : 0]; }

// Buffers that any thread may free.
std::mutex shared_mutex;
std::vector<Buffer> shared;

struct Random {
    uint64_t state;
    uint64_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
    uint64_t below(uint64_t bound) { return next() % bound; }
};

void release(const Buffer& buffer) {
    size_t type = 0;
    while (TYPES[type] != buffer.type) {
        type++;
    }
    // In this order, as in tt-metal: somebody may have the address again before its free is reported.
    space(buffer.device, type).give(buffer.address);
    if (typed) {
        AllocationClient::report_deallocation(buffer.device, buffer.address, buffer.type);
    } else {
        AllocationClient::report_deallocation(buffer.device, buffer.address);
    }
}

void work(Random& random, std::vector<Buffer>& own, int steps) {
    for (int step = 0; step < steps; step++) {
        uint64_t choice = random.below(10);
        if (choice < 5) {
            int device = static_cast<int>(random.below(DEVICES));
            size_t type = random.below(TYPES.size());
            uint64_t address = space(device, type).take();
            if (address == 0) {
                continue;
            }
            Buffer buffer{device, TYPES[type], address, 1 + random.below(uint64_t{1} << 33)};
            AllocationClient::report_allocation(buffer.device, buffer.size, buffer.type, buffer.address);
            own.push_back(buffer);
        } else if (choice < 8) {
            if (!own.empty()) {
                std::swap(own[random.below(own.size())], own.back());
                Buffer buffer = own.back();
                own.pop_back();
                release(buffer);
            }
        } else if (choice == 8) {
            if (!own.empty()) {
                std::lock_guard<std::mutex> lock(shared_mutex);
                shared.push_back(own.back());
                own.pop_back();
            }
        } else {
            std::unique_lock<std::mutex> lock(shared_mutex);
            if (!shared.empty()) {
                Buffer buffer = shared.front();
                shared.erase(shared.begin());
                lock.unlock();
                release(buffer);
            }
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    typed = argc < 2 || std::strcmp(argv[1], "untyped") != 0;
    std::vector<std::vector<Buffer>> own(THREADS);
    std::vector<Random> random;
    for (uint64_t thread = 1; thread <= THREADS; thread++) {
        random.push_back(Random{thread * 0x9e3779b97f4a7c15});
    }
    for (int round = 0; round <= ROUNDS; round++) {
        // In the last round until the process is killed.
        int steps = round == ROUNDS ? 1 << 30 : STEPS;
        std::vector<std::thread> threads;
        for (int thread = 0; thread < THREADS; thread++) {
            threads.emplace_back([&, thread] { work(random[thread], own[thread], steps); });
        }
        for (auto& thread : threads) {
            thread.join();
        }
        std::map<std::pair<int, int>, std::pair<uint64_t, uint64_t>> live;
        auto add = [&](const Buffer& buffer) {
            auto& [bytes, blocks] = live[{buffer.device, buffer.type}];
            bytes += buffer.size;
            blocks += 1;
        };
        for (auto& buffers : own) {
            for (auto& buffer : buffers) {
                add(buffer);
            }
        }
        for (auto& buffer : shared) {
            add(buffer);
        }
        for (auto& [where, what] : live) {
            std::cout << "live " << where.first << ' ' << where.second << ' ' << what.first << ' ' << what.second << '\n';
        }
        tt_alloc_doubt_counts doubts;
        tt_alloc_doubts(&doubts);
        std::cout << "doubts " << doubts.unmatched_frees << ' ' << doubts.ambiguous_frees << "\nquiet" << std::endl;
        std::string line;
        std::getline(std::cin, line);
    }
    return 0;
}
