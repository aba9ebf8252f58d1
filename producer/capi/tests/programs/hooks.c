/* Stands for libtt_alloc_preload.so in a process in which tt-metal has called a hook, or has not. */
#include <stdbool.h>
#include <stdlib.h>

bool tt_alloc_preload_used(void);

bool tt_alloc_preload_used(void) { return getenv("HOOKS_ARE_USED") != NULL; }

bool *tt_alloc_preload_said(void);

/* Whether the one line of this process was said: by them, where this variable says so. */
bool *tt_alloc_preload_said(void) {
    static bool said;
    said = said || getenv("HOOKS_HAVE_SAID") != NULL;
    return &said;
}
