"""A training loop on two chips: activations pile up in the forward pass and go in the backward pass."""

import time

import ttnn

mesh = ttnn.open_mesh_device(ttnn.MeshShape(1, 2), l1_small_size=16384)


def tensor(*shape, dtype=ttnn.bfloat16, memory=ttnn.DRAM_MEMORY_CONFIG):
    return ttnn.empty(shape, dtype=dtype, layout=ttnn.TILE_LAYOUT, device=mesh, memory_config=memory)


model = [tensor(2048, 2048) for _ in range(48)]
moments = [tensor(2048, 2048, dtype=ttnn.float32) for _ in range(96)]
small = ttnn.zeros((1, 1, 128, 128), layout=ttnn.TILE_LAYOUT, device=mesh, memory_config=ttnn.L1_MEMORY_CONFIG)
for epoch in range(14):
    activations = []
    for layer in range(48):
        activations.append(tensor(8, 1024, 2048))
        if layer % 6 == 0:
            ttnn.deallocate(ttnn.add(small, small))
        time.sleep(0.02)
    gradients = []
    while activations:
        ttnn.deallocate(activations.pop())
        gradients.append(tensor(2048, 2048))
        if len(gradients) % 8 == 0:
            ttnn.deallocate(ttnn.matmul(small, small))
        time.sleep(0.015)
    for gradient in gradients:
        ttnn.deallocate(gradient)
    time.sleep(0.2)
ttnn.close_mesh_device(mesh)
