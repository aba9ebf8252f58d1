/* Forks in the midst of other threads' events. A child begins with nothing, whatever its parent's threads were doing, and frees of what
 * its parent allocated change nothing in it.
 *
 *   cc -std=c11 forks.c $(pkg-config --cflags --libs tt-alloc) -pthread -o forks
 *   TT_ALLOC_TRACKING_ENABLED=1 ./forks
 *
 * Says each child's pid and what is live in it, and, when a line came and they are gone, what is live in itself.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tt_alloc.h>
#include <unistd.h>

enum { CHURNERS = 4, CHILDREN = 24, INHERITED = 512 };

static atomic_int stop;

/* Allocates and frees at addresses of its own without pause. */
static void *churn(void *argument) {
    uint64_t thread = (uint64_t)(uintptr_t)argument;
    while (!atomic_load(&stop)) {
        for (uint64_t n = 0; n < 64; n++) {
            tt_alloc_alloc_address(0, TT_ALLOC_L1, (thread << 32) + 64 * n, 10);
        }
        for (uint64_t n = 0; n < 64; n++) {
            tt_alloc_free_address(0, (thread << 32) + 64 * n);
        }
    }
    return NULL;
}

static void wait_for_line(void) {
    fflush(stdout);
    int c;
    while ((c = getchar()) != '\n' && c != EOF) {
    }
}

int main(void) {
    for (uint64_t n = 0; n < INHERITED; n++) {
        tt_alloc_alloc_address(0, TT_ALLOC_DRAM, 0x100000 + 32 * n, 1000);
    }
    pthread_t threads[CHURNERS];
    for (uintptr_t thread = 0; thread < CHURNERS; thread++) {
        if (pthread_create(&threads[thread], NULL, churn, (void *)(thread + 1)) != 0) {
            return 1;
        }
    }
    pid_t children[CHILDREN];
    for (int child = 0; child < CHILDREN; child++) {
        int told[2];
        if (pipe(told) != 0) {
            return 1;
        }
        fflush(stdout);
        children[child] = fork();
        if (children[child] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            /* What was the parent's is freed by destructors in the child, too. Then the same addresses again: the child's own. */
            for (uint64_t n = 0; n < INHERITED; n++) {
                tt_alloc_free_address(0, 0x100000 + 32 * n);
            }
            for (uint64_t n = 0; n < INHERITED; n++) {
                tt_alloc_alloc_address(0, TT_ALLOC_DRAM, 0x100000 + 32 * n, 1);
            }
            tt_alloc_free_address(0, 0x100000);
            tt_alloc_doubt_counts doubts;
            tt_alloc_doubts(&doubts);
            if (write(told[1], &doubts, sizeof doubts) != sizeof doubts) {
                _exit(1);
            }
            for (;;) {
                pause();
            }
        }
        tt_alloc_doubt_counts doubts;
        if (children[child] < 0 || read(told[0], &doubts, sizeof doubts) != sizeof doubts) {
            return 1;
        }
        close(told[0]);
        close(told[1]);
        printf("child %d %u %u %d %d\n", (int)children[child], 0, TT_ALLOC_DRAM, INHERITED - 1, INHERITED - 1);
        if (doubts.unmatched_frees != INHERITED || doubts.ambiguous_frees != 0) {
            printf("a child found %llu frees unmatched\n", (unsigned long long)doubts.unmatched_frees);
        }
    }
    puts("children");
    wait_for_line();
    for (int child = 0; child < CHILDREN; child++) {
        kill(children[child], SIGKILL);
        waitpid(children[child], NULL, 0);
    }
    atomic_store(&stop, 1);
    for (int thread = 0; thread < CHURNERS; thread++) {
        pthread_join(threads[thread], NULL);
    }
    printf("live 0 %u %d %d\nquiet\n", TT_ALLOC_DRAM, 1000 * INHERITED, INHERITED);
    wait_for_line();
    return 0;
}
