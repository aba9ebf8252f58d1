"""The hooks opened and closed by the program, before they are used, while they are, and at last.

  closed_library.py HOOKS
"""
import ctypes
import os
import sys

import _ctypes


def opened():
    return ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)


def is_mapped():
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return os.path.basename(sys.argv[1]) in maps.read()


# Closed before anybody has called them, and opened again.
_ctypes.dlclose(opened()._handle)
kept = opened()

import ttnn
from truth import DRAM, L1, Truth, tensor

truth = Truth()
device = truth.open()
held = [tensor(device, memory=L1 if number % 3 == 0 else DRAM) for number in range(12)]
truth.check("before it is closed")
_ctypes.dlclose(kept._handle)
assert is_mapped(), "tt-metal calls what is in it"
for number in range(8):
    ttnn.deallocate(held.pop(0))
    held.append(ttnn.add(held[0], held[1]))
    truth.check(f"closed, and used {number}")
held.clear()
truth.close(device)
truth.check("device closed")
truth.finish()
