"""Ends without closing its device or freeing anything: the suite looks whether everything is gone afterwards."""
import ttnn
from truth import L1, Truth, tensor

truth = Truth()
device = truth.open()
held = []
for number in range(10):
    held.append(tensor(device, (1, 1, 64, 64 * (number + 1)), memory=L1 if number % 2 else ttnn.DRAM_MEMORY_CONFIG))
    truth.check(f"{number + 1} held")
held.append(ttnn.add(held[0], held[0]))
truth.check("and a program")
truth.finish()
