"""A job that fills its chip with what it never frees, until it is killed from outside."""

import time

import ttnn

mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 1), l1_small_size=16384)
kept = []
small = ttnn.zeros((1, 1, 64, 64), layout=ttnn.TILE_LAYOUT, device=mesh, memory_config=ttnn.L1_MEMORY_CONFIG)
while True:
    kept.append(ttnn.empty((64, 1024, 1024), dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT, device=mesh))
    kept.append(ttnn.add(small, small))
    if len(kept) % 16 == 0:
        kept.append(ttnn.softmax(small, dim=-1))
    time.sleep(0.25)
