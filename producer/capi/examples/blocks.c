/* A program that tells its allocations in C, in both ways: by ids of its own, and by addresses alone.
 *
 *   export PKG_CONFIG_PATH=/opt/tt-alloc/lib/pkgconfig
 *   cc -std=c11 blocks.c $(pkg-config --cflags --libs tt-alloc) -Wl,-rpath,/opt/tt-alloc/lib -o blocks
 *   TT_ALLOC_TRACKING_ENABLED=1 ./blocks
 *
 * At each quiet point it says what is live (device, memory kind, bytes, blocks) and waits for a line.
 */
#include <stdio.h>
#include <tt_alloc.h>

static void quiet(void) {
    puts("quiet");
    fflush(stdout);
    int c;
    while ((c = getchar()) != '\n' && c != EOF) {
    }
}

static void live(uint32_t device, uint8_t memory, uint64_t bytes, uint64_t blocks) {
    printf("live %u %u %llu %llu\n", device, memory, (unsigned long long)bytes, (unsigned long long)blocks);
}

int main(void) {
    printf("tt-alloc %s, interface %u, tracking %s\n", tt_alloc_version(), tt_alloc_api_version(),
           tt_alloc_enabled() ? "on" : "off");

    /* A device that is opened: who it is, and what fits into it. */
    tt_alloc_device device = {0};
    device.chip_id = 0x1234567890abcdef;
    device.device = 3;
    device.arch = TT_ALLOC_ARCH_BLACKHOLE;
    device.cores = 140;
    tt_alloc_device_info(&device);
    tt_alloc_device_capacity(3, TT_ALLOC_DRAM, UINT64_C(32) << 30, 8);

    /* Ids of one's own: larger than 4 GiB, and taking more than was asked for. */
    tt_alloc_block weights = {0};
    weights.id = 1;
    weights.device = 3;
    weights.memory = TT_ALLOC_DRAM;
    weights.address = 0x20;
    weights.size = (UINT64_C(5) << 30) + 1;
    weights.footprint = (UINT64_C(5) << 30) + 4096;
    tt_alloc_alloc(&weights);
    live(3, TT_ALLOC_DRAM, weights.footprint, 1);
    quiet();

    /* Circular buffers of two programs; the second is dispatched, the first is destroyed. */
    for (uint32_t program = 1; program <= 2; program++) {
        for (uint64_t n = 0; n < 3; n++) {
            tt_alloc_block cb = {0};
            cb.id = 10 * program + n;
            cb.device = 3;
            cb.memory = TT_ALLOC_CB;
            cb.program = program;
            cb.address = 0x10000 + 4096 * n;
            cb.size = 2048 * program;
            tt_alloc_alloc(&cb);
        }
    }
    tt_alloc_program_resident(3, 2);
    tt_alloc_free_group(3, TT_ALLOC_CB, 1, 3, 3 * 2048);
    live(3, TT_ALLOC_DRAM, weights.footprint, 1);
    live(3, TT_ALLOC_CB, 3 * 4096, 3);
    quiet();

    /* Addresses alone: the same one in DRAM, in L1 and on another device. */
    tt_alloc_alloc_address(3, TT_ALLOC_DRAM, 0x8000, 100);
    tt_alloc_alloc_address(3, TT_ALLOC_L1, 0x8000, 20);
    tt_alloc_alloc_address(4, TT_ALLOC_L1, 0x8000, 3);
    tt_alloc_free_address_in(3, TT_ALLOC_L1, 0x8000);
    live(3, TT_ALLOC_DRAM, weights.footprint + 100, 2);
    live(3, TT_ALLOC_CB, 3 * 4096, 3);
    live(4, TT_ALLOC_L1, 3, 1);
    quiet();

    /* Without the memory kind: the oldest. And a free of what is not there. */
    tt_alloc_alloc_address(3, TT_ALLOC_L1, 0x8000, 21);
    tt_alloc_free_address(3, 0x8000);
    tt_alloc_free_address(3, 0x9999);
    live(3, TT_ALLOC_DRAM, weights.footprint, 1);
    live(3, TT_ALLOC_CB, 3 * 4096, 3);
    live(3, TT_ALLOC_L1, 21, 1);
    live(4, TT_ALLOC_L1, 3, 1);
    tt_alloc_doubt_counts doubts;
    tt_alloc_doubts(&doubts);
    printf("doubts %llu %llu\n", (unsigned long long)doubts.unmatched_frees,
           (unsigned long long)doubts.ambiguous_frees);
    quiet();

    tt_alloc_free(&weights);
    live(3, TT_ALLOC_CB, 3 * 4096, 3);
    live(3, TT_ALLOC_L1, 21, 1);
    live(4, TT_ALLOC_L1, 3, 1);
    quiet();

    /* Closed with things alive: they end with it, and what comes later at the same address is new. */
    tt_alloc_device_close(3);
    tt_alloc_free_address(3, 0x8000);
    tt_alloc_alloc_address(3, TT_ALLOC_L1, 0x8000, 5);
    live(3, TT_ALLOC_L1, 5, 1);
    live(4, TT_ALLOC_L1, 3, 1);
    quiet();
    return 0;
}
