"""Allocations that fail count nothing, and the ones before and after them count right."""
import ttnn
from truth import DRAM, L1, TILE, Truth

truth = Truth()
device = truth.open()


def fill(label, shape, memory):
    """Allocates until tt-metal says no."""
    held = []
    for number in range(10_000):
        try:
            held.append(ttnn.empty(shape, dtype=ttnn.bfloat16, layout=TILE, device=device, memory_config=memory))
        except RuntimeError as error:
            assert "Out of Memory" in str(error), error
            truth.check(f"{label} full after {number}")
            return held
    raise AssertionError(f"{label} never full")


for attempt in range(3):
    l1 = fill("L1", (1, 1, 4096, 4096), L1)
    assert l1
    l1_rest = fill("L1 again, in small pieces", (1, 1, 1024, 1024), L1)
    ttnn.deallocate(l1.pop(0))
    truth.check("room in L1")
    l1_rest += fill("L1 once more", (1, 1, 512, 1024), L1)
    del l1, l1_rest
    truth.check("L1 empty")

dram = fill("DRAM", (1, 1, 16384, 32768), DRAM)
ttnn.deallocate(dram.pop())
truth.check("room in DRAM")
del dram
truth.check("DRAM empty")
truth.close(device)
truth.check("closed")
truth.finish()
