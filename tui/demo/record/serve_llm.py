"""An LLM server on a mesh of four chips: weights and a KV cache stay, each decode step comes and goes."""

import random
import time

import ttnn

random.seed(7)
LAYERS, HIDDEN, FFN, CONTEXT = 32, 4096, 14336, 4096
mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 4), l1_small_size=24576, trace_region_size=64 << 20)


def weight(*shape, dtype=ttnn.bfloat8_b):
    return ttnn.empty(shape, dtype=dtype, layout=ttnn.TILE_LAYOUT, device=mesh, memory_config=ttnn.DRAM_MEMORY_CONFIG)


weights, cache = [weight(128256, HIDDEN, dtype=ttnn.bfloat16)], []
for layer in range(LAYERS):
    weights += [weight(HIDDEN, HIDDEN + 2048), weight(HIDDEN, HIDDEN), weight(HIDDEN, FFN), weight(HIDDEN, FFN), weight(FFN, HIDDEN)]
    time.sleep(0.15)
for layer in range(LAYERS):
    cache += [weight(32, 8, CONTEXT, 128), weight(32, 8, CONTEXT, 128)]
    time.sleep(0.05)


def tile(rows, columns, memory=ttnn.L1_MEMORY_CONFIG):
    return ttnn.zeros((1, 1, rows, columns), layout=ttnn.TILE_LAYOUT, device=mesh, memory_config=memory)


for request in range(10):
    batch = random.choice([32, 64, 128])
    kept = [tile(batch, HIDDEN, ttnn.DRAM_MEMORY_CONFIG)]
    left, right, row = tile(batch, 256), tile(256, 128), tile(batch, 256)
    for step in range(12):
        hidden = ttnn.matmul(left, right)
        scores = ttnn.softmax(hidden, dim=-1)
        added = ttnn.add(row, left)
        kept.append(ttnn.multiply(scores, hidden))
        for gone in (hidden, scores, added):
            ttnn.deallocate(gone)
        time.sleep(random.uniform(0.1, 0.3))
    for gone in kept + [left, right, row]:
        ttnn.deallocate(gone)
    time.sleep(0.3)
mesh.disable_and_clear_program_cache()
ttnn.close_mesh_device(mesh)
