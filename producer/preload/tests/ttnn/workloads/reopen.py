"""Devices opened and closed again and again in one process: what was alive ends with its device."""
import ttnn
from truth import L1, Truth, tensor

truth = Truth()
kept = []
for number in range(5):
    device = truth.open(l1_small_size=8192 * (number % 2))
    truth.check(f"open {number}: nothing left of the one before")
    kept.append(tensor(device, (1, 1, 64, 64 * (number + 1))))
    kept.append(tensor(device, (1, 1, 64, 64), memory=L1))
    kept.append(ttnn.add(kept[-1], kept[-1]))
    truth.check(f"open {number}: held")
    truth.close(device)
    truth.check(f"closed {number} with tensors alive")
del kept
truth.check("old tensors dropped")
truth.finish()
