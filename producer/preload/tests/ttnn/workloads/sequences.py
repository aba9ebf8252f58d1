"""What the original's authors wrote down of a process's life, on stock ttnn: system buffers over three opens, a program cache that keeps
binaries, unloads that say no size, addresses that come again, everything on each chip of a mesh.

Each was wrong in the original (seeds, inventory 2.4); here the allocator says what is right.
"""
import threading

import ttnn
from truth import DRAM, L1, Truth, circular_bytes, tensor

graph = ttnn._ttnn.graph
truth = Truth()
chips = set(truth.chips.values())


def blocks(device, kind=ttnn.BufferType.DRAM):
    return sum(buffer.buffer_type == kind for buffer in ttnn._ttnn.reports.get_buffers(device))


# Three runs in one process, which free nothing: 14 MB more with each, in the original.
opened = []
for run in range(3):
    device = truth.open()
    opened.append(truth.expected())
    truth.check(f"run {run}: open, with what the system takes")
    leaked = [tensor(device, (1, 1, 256, 256)) for _ in range(5)]
    truth.check(f"run {run}: held")
    truth.close(device)
    truth.check(f"run {run}: closed, nothing freed")
    del leaked
assert opened[0] == opened[1] == opened[2], opened

# The program cache: binaries stay while programs are cached, are there once however often they run, and go with the cache.
device = truth.open()
a, b = tensor(device, (1, 1, 64, 64)), tensor(device, (1, 1, 64, 96))
before = blocks(device)
out = [ttnn.add(a, a), ttnn.matmul(a, b)]
cached = blocks(device)
truth.check("two programs")
for _ in range(5):
    out += [ttnn.add(a, a), ttnn.matmul(a, b)]
    truth.check("from the cache")
assert blocks(device) == cached + 10, "one buffer for each output, and none for a program"
# Real devices keep the binaries in a buffer each, mock devices none.
print("BINARIES", cached - before - 2, flush=True)
view = ttnn.reshape(a, (1, 64, 64))
assert view.buffer_address() == a.buffer_address()
truth.check("a view of a buffer takes nothing")
del view
truth.check("nor does its end end the buffer")
device.clear_program_cache()
truth.check("cache cleared: binaries and kernels are unloaded, and nobody says a size")
assert blocks(device) == before + 12, "outputs"
del out, a, b
truth.check("nothing held")

# Circular buffers that lie in L1 buffers (globally allocated, borrowed) take nothing of their own.
shards = ttnn.create_sharded_memory_config((1, 1, 256, 256), core_grid=ttnn.CoreGrid(y=2, x=4), strategy=ttnn.ShardStrategy.BLOCK)
one = tensor(device, (1, 1, 256, 256), memory=shards)
graph.begin_graph_capture(graph.RunMode.NO_DISPATCH)
try:
    ttnn.add(one, one, memory_config=shards)
finally:
    nodes = graph.end_graph_capture()
own = circular_bytes(nodes)
abouts = [node["params"] or {} for node in nodes]
inside = [about for about in abouts if "1" in (about.get("globally_allocated"), about.get("borrows_memory"))]
assert inside, "no circular buffer of this operation lies in a buffer"
truth.check_circular("not run yet", 0)
two = ttnn.add(one, one, memory_config=shards)
truth.check("an operation on shards")
truth.check_circular("its own circular buffers alone", own)
del one, two
device.clear_program_cache()
truth.check_circular("cache cleared", 0)

# An address again: with another size, in another memory kind, on every chip at once.
seen = {}
for shape, memory in [((1, 1, 32, 32), DRAM), ((1, 1, 512, 512), DRAM), ((1, 1, 64, 64), L1), ((1, 1, 32, 1024), L1), ((1, 1, 32, 64), DRAM)]:
    one = tensor(device, shape, memory=memory)
    seen.setdefault((memory.buffer_type, one.buffer_address()), []).append(shape)
    truth.check(f"{shape} at {one.buffer_address():#x}")
    ttnn.deallocate(one)
    truth.check(f"{shape} freed")
assert any(len(shapes) > 1 for shapes in seen.values()), f"no address came again: {seen}"

# By threads, which free each other's.
lock, held, addresses = threading.Lock(), [], []


def churn(number):
    for turn in range(40):
        one = tensor(device, (1, 1, 32, 32 * (1 + (number + turn) % 6)), memory=L1 if turn % 2 else DRAM)
        with lock:
            addresses.append(one.buffer_address())
            held.append(one)
            other = held.pop(0) if len(held) > 12 else None
        if other is not None:
            ttnn.deallocate(other)


for turn in range(3):
    threads = [threading.Thread(target=churn, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    truth.check(f"eight threads, turn {turn}")
assert len(set(addresses)) < len(addresses) // 2, "addresses came again"
held.clear()
truth.check("freed")
expected = truth.expected()
assert set(expected) == chips and len({str(kinds) for kinds in expected.values()}) == 1, "lock-step on all chips"
truth.close(device)
truth.check("closed")
truth.finish()
