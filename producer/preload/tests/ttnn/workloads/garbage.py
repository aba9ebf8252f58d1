"""Tensors that nobody deallocates: the garbage collector frees them, also those in cycles and views."""
import gc

import ttnn
from truth import Truth, tensor

truth = Truth()
device = truth.open()
gc.disable()


class Layer:
    def __init__(self, number):
        self.weight = tensor(device, (1, 1, 32, 32 * (number + 1)))
        self.myself = self


for round_number in range(3):
    layers = [Layer(number) for number in range(8)]
    truth.check("held by objects")
    del layers
    truth.check("in cycles, unreachable, not yet collected")
    gc.collect()
    truth.check("collected")

base = tensor(device, (1, 1, 64, 64))
same = ttnn.reshape(base, (1, 1, 64, 64))
flat = ttnn.view(base, (1, 1, 1, 64, 64))
truth.check("views take nothing of their own")
del base
truth.check("a view keeps what it views")
del same, flat
truth.check("gone with the last view")
for _ in range(20):
    tensor(device)
truth.check("temporaries")
truth.close(device)
truth.check("closed")
truth.finish()
