/* A program that names its phases: tt-alloc buffers tells in which one each live block was allocated.
 *
 *   cc -std=c11 phases.c $(pkg-config --cflags --libs tt-alloc) -pthread -o phases
 *   TT_ALLOC_TRACKING_ENABLED=1 ./phases
 *
 * Says at the end how many blocks there are, and waits for a line.
 */
#include <pthread.h>
#include <stdio.h>
#include <tt_alloc.h>

enum { THREADS = 8, EACH = 500 };

/* A phase is of one thread. All use one address, so that one thread may have to write down what another one reported; of circular
 * buffers, any number may be there. */
static void *work(void *argument) {
    unsigned number = (unsigned)(uintptr_t)argument;
    char name[32];
    snprintf(name, sizeof name, "thread %u", number);
    tt_alloc_tag_push(name);
    for (unsigned n = 0; n < EACH; n++) {
        tt_alloc_cb_alloc(0, 1000 + number, 0x1000);
    }
    tt_alloc_tag_pop();
    return NULL;
}

int main(void) {
    tt_alloc_tag_pop(); /* Nothing to pop: nothing happens. */
    tt_alloc_tag_push("model load");
    tt_alloc_alloc_address(0, TT_ALLOC_DRAM, 0x20, 1);
    tt_alloc_tag_push("decode");
    tt_alloc_alloc_address(0, TT_ALLOC_DRAM, 0x40, 2);
    tt_alloc_tag_push(NULL); /* No phase. */
    tt_alloc_alloc_address(0, TT_ALLOC_DRAM, 0x60, 3);
    tt_alloc_tag_pop();
    tt_alloc_block block = {0};
    block.id = 1;
    block.size = 4;
    block.flags = 0xff00 | TT_ALLOC_SYSTEM; /* Bits that are no flags are none. */
    tt_alloc_alloc(&block);
    tt_alloc_tag_pop();
    tt_alloc_alloc_address(0, TT_ALLOC_DRAM, 0x80, 5);
    tt_alloc_tag_pop();
    tt_alloc_alloc_address(0, TT_ALLOC_DRAM, 0xa0, 6);

    pthread_t thread[THREADS];
    for (uintptr_t n = 0; n < THREADS; n++) {
        if (pthread_create(&thread[n], NULL, work, (void *)n) != 0) {
            return 1;
        }
    }
    for (int n = 0; n < THREADS; n++) {
        pthread_join(thread[n], NULL);
    }
    printf("blocks %d\n", 6 + THREADS * EACH);
    fflush(stdout);
    getchar();
    return 0;
}
