"""A copy of the hooks that the program loads itself, into everybody's view, when they are preloaded already.

  loaded_again.py COPY
"""
import ctypes
import sys

# Before tt-metal is there, so that the copy stands in front of it as well.
before = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)

import ttnn
from truth import DRAM, L1, Truth, tensor

truth = Truth()
device = truth.open()
held = [tensor(device, memory=L1 if number % 3 == 0 else DRAM) for number in range(12)]
truth.check("two copies")
held.append(ttnn.add(held[0], held[1]))
truth.check("an operation")
again = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
for number in range(8):
    ttnn.deallocate(held.pop(0))
    held.append(tensor(device))
    truth.check(f"one gone, one more {number}")
held.clear()
truth.close(device)
truth.check("closed")
truth.finish()
