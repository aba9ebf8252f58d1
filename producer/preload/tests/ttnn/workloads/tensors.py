"""Interleaved tensors: every data type, both layouts, odd shapes, DRAM and L1; from the host and made on the device."""
import ttnn
from truth import DRAM, L1, ROW, TILE, Truth, tensor

SHAPES = [(1, 1, 32, 32), (1, 3, 50, 70), (7, 1, 1, 1), (2, 2, 96, 160), (1, 1, 1024, 768), (5, 33)]
TYPES = [ttnn.bfloat16, ttnn.float32, ttnn.uint32, ttnn.int32, ttnn.uint16, ttnn.uint8, ttnn.bfloat8_b, ttnn.bfloat4_b]

truth = Truth()
device = truth.open()
truth.check("open, nothing allocated")

held = []
for dtype in TYPES:
    # The block formats exist as tiles only.
    for layout in [TILE] if dtype in (ttnn.bfloat8_b, ttnn.bfloat4_b) else [TILE, ROW]:
        for number, shape in enumerate(SHAPES):
            held.append(tensor(device, shape, dtype, layout, L1 if number % 2 else DRAM))
        truth.check(f"{dtype} {layout}")

for number in range(0, len(held), 2):
    ttnn.deallocate(held[number])
truth.check("every second one deallocated")

made = [
    ttnn.ones((64, 64), device=device, layout=TILE),
    ttnn.full((3, 5), 1.5, device=device, layout=TILE),
    ttnn.rand((1, 1, 64, 64), device=device),
    ttnn.arange(0, 100, 1, device=device),
    ttnn.Tensor([float(n) for n in range(1024)], [1, 1, 32, 32], ttnn.float32, TILE).to(device),
]
truth.check("made by ones, full, rand, arange, and copied from the host")

again = ttnn.to_memory_config(made[0], L1)
truth.check("copied from DRAM to L1")
ttnn.deallocate(again)
ttnn.deallocate(made[0])
truth.check("deallocated twice in a row")

del held, made, again
truth.check("out of scope")
truth.close(device)
truth.check("closed")
truth.finish()
