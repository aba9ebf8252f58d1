"""Python threads that allocate and free at the same time on one device."""
import random
import threading

import ttnn
from truth import DRAM, L1, Truth, tensor

THREADS = 6
truth = Truth()
device = truth.open()
held = [[] for _ in range(THREADS)]
faults = []


def work(number, round_number):
    dice = random.Random(number * 1000 + round_number)
    mine = held[number]
    try:
        for _ in range(60):
            if mine and dice.random() < 0.45:
                ttnn.deallocate(mine.pop(dice.randrange(len(mine))))
            else:
                mine.append(tensor(device, (1, 1, 32, 32 * dice.randint(1, 8)), memory=dice.choice([DRAM, L1])))
    except BaseException as fault:
        faults.append(fault)
        raise


for round_number in range(10):
    threads = [threading.Thread(target=work, args=(number, round_number)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults
    truth.check(f"round {round_number}: all threads ended, their tensors live")
for mine in held:
    mine.clear()
truth.check("all freed by the main thread")
truth.close(device)
truth.check("closed")
truth.finish()
