"""Allocates and frees one small tensor again and again: ns for each pair, one line a round.

Two tensors' worth of work per pair: ttnn.empty, ttnn.deallocate. The rest is Python and tt-metal itself.
"""

import sys
import time

import ttnn

rounds, pairs = int(sys.argv[1]), int(sys.argv[2])
device = ttnn.open_device(device_id=0)


def pair():
    tensor = ttnn.empty([32, 32], dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=device)
    ttnn.deallocate(tensor)


for _ in range(pairs):
    pair()
for _ in range(rounds):
    begin = time.perf_counter_ns()
    for _ in range(pairs):
        pair()
    print("pair_ns", (time.perf_counter_ns() - begin) / pairs, flush=True)
ttnn.close_device(device)
