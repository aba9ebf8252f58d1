// A job on the stand-in: does what it is told, one line at a time, and answers each.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "metal.h"

static struct program *programs[1000];
static unsigned loaded;

int main(void) {
    static struct device device;
    char line[100];
    printf("ANSWER %d\n", getpid());
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        unsigned number, bytes, cores;
        if (!strcmp(line, "open\n")) {
            open_device(&device);
        } else if (sscanf(line, "load %u %u %u", &number, &bytes, &cores) == 3) {
            while (number-- && loaded < 1000) {
                programs[loaded] = make_program(&device, bytes, cores);
                dispatch(&device, programs[loaded++]);
            }
        } else if (!strcmp(line, "unload\n")) {
            while (loaded) end_program(programs[--loaded]);
        } else if (!strcmp(line, "finish\n")) {
            return 0;
        } else {
            return 1;
        }
        puts("ANSWER null");
        fflush(stdout);
    }
    return 0;
}
