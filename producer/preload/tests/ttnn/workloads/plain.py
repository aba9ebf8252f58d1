"""A script that knows nothing of tt-alloc. Prints what it can see of itself, and ends as it is told.

  plain.py [ok | exit | raise]
"""
import os
import sys
import time

import ttnn

ending = sys.argv[1] if len(sys.argv) > 1 else "ok"
device = ttnn.open_device(device_id=0)
held = [ttnn.ones((1, 1, 64, 64), dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=device) for _ in range(20)]
held.append(ttnn.add(held[0], held[1]))
for one in held[::2]:
    ttnn.deallocate(one)
view = ttnn.get_memory_view(device, ttnn.BufferType.DRAM)
print("in use", view.total_bytes_allocated_per_bank * view.num_banks)
prefix = os.environ["TT_ALLOC_PREFIX"] + "."
# tt-metal ends threads of its own at this time: the least of many looks is what stays.
threads = min(len(os.listdir("/proc/self/task")) for _ in range(50) if not time.sleep(0.005))
print("SELF", threads, sum(name.startswith(prefix) for name in os.listdir("/dev/shm")))
print("a line on standard error", file=sys.stderr)
if ending == "raise":
    raise ValueError("as told")
ttnn.close_device(device)
if ending == "exit":
    sys.exit(7)
