// What the stand-in for libtt_metal.so shares with the program that uses it.
#pragma once
#include <stddef.h>

struct device { void *table; char allocator[8]; };
struct kernel { unsigned bytes, cores; };
struct program { struct kernel *kernel; };
struct buffer { size_t id, size; struct device *device; };

void open_device(struct device *device);
struct program *make_program(struct device *device, unsigned bytes, unsigned cores);
void dispatch(struct device *device, struct program *program);
void end_program(struct program *program);
