/* What a pair costs: an allocation by address and its free that names nothing else.
 *
 *   cc -O2 -std=c11 cost.c $(pkg-config --cflags --libs tt-alloc) -pthread -o cost
 *   TT_ALLOC_TRACKING_ENABLED=1 ./cost [THREADS] [LIVE BUFFERS A THREAD] [PAIRS A THREAD] [named]
 *
 * named: with ids of one's own instead, which need no table. Says nanoseconds of processor time a pair, which other work on the machine disturbs least, and of wall clock; the
 * best of five.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tt_alloc.h>

static uint64_t live = 1000, pairs = 1000000;
static int named = 0;
static pthread_barrier_t start;

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static void *work(void *argument) {
    uint64_t base = (uint64_t)(uintptr_t)argument << 32;
    tt_alloc_block block = {0};
    block.size = 4096;
    for (uint64_t n = 0; n < live && !named; n++) {
        tt_alloc_alloc_address(0, TT_ALLOC_DRAM, base + 32 * n, 4096);
    }
    pthread_barrier_wait(&start);
    uint64_t x = base + 1;
    double begun = now(CLOCK_THREAD_CPUTIME_ID);
    for (uint64_t n = 0; n < pairs; n++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        if (named) {
            block.id = base + n;
            block.address = base + 32 * ((x >> 33) % live);
            tt_alloc_free(&block);
            tt_alloc_alloc(&block);
        } else {
            uint64_t address = base + 32 * ((x >> 33) % live);
            tt_alloc_free_address(0, address);
            tt_alloc_alloc_address(0, TT_ALLOC_DRAM, address, 4096);
        }
    }
    double *taken = malloc(sizeof *taken);
    if (taken != NULL) {
        *taken = now(CLOCK_THREAD_CPUTIME_ID) - begun;
    }
    pthread_barrier_wait(&start);
    for (uint64_t n = 0; n < live && !named; n++) {
        tt_alloc_free_address(0, base + 32 * n);
    }
    return taken;
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    live = argc > 2 ? strtoull(argv[2], NULL, 10) : live;
    pairs = argc > 3 ? strtoull(argv[3], NULL, 10) : pairs;
    named = argc > 4 && strcmp(argv[4], "named") == 0;
    if (threads < 1 || threads > 256 || live < 1) {
        return 2;
    }
    double best = 0, best_cpu = 0;
    for (int run = 0; run < 5; run++) {
        pthread_t thread[256];
        pthread_barrier_init(&start, NULL, (unsigned)threads + 1);
        for (intptr_t n = 0; n < threads; n++) {
            if (pthread_create(&thread[n], NULL, work, (void *)(n + 1)) != 0) {
                return 1;
            }
        }
        pthread_barrier_wait(&start);
        double begun = now(CLOCK_MONOTONIC);
        pthread_barrier_wait(&start);
        double taken = (now(CLOCK_MONOTONIC) - begun) / (double)pairs / threads;
        double taken_cpu = 0;
        for (int n = 0; n < threads; n++) {
            void *of_thread = NULL;
            pthread_join(thread[n], &of_thread);
            taken_cpu += of_thread == NULL ? 0 : *(double *)of_thread / (double)pairs / threads;
            free(of_thread);
        }
        best = best == 0 || taken < best ? taken : best;
        best_cpu = best_cpu == 0 || taken_cpu < best_cpu ? taken_cpu : best_cpu;
        pthread_barrier_destroy(&start);
    }
    tt_alloc_doubt_counts doubts;
    tt_alloc_doubts(&doubts);
    printf("%d threads, %llu live each, tracking %s: a pair takes %.1f ns of processor time, one comes every %.1f ns; %llu unmatched\n",
           threads, (unsigned long long)live, tt_alloc_enabled() ? "on" : "off", best_cpu, best, (unsigned long long)doubts.unmatched_frees);
    return 0;
}
