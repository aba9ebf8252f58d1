"""A seeded random interleaving of everything that allocates and frees. TT_ALLOC_SEED repeats a run."""
import os
import random
import sys

import ttnn
from truth import DRAM, L1, ROW, TILE, Truth, tensor

seed = int(os.environ.get("TT_ALLOC_SEED") or random.SystemRandom().randrange(1 << 32))
print(f"seed {seed}", file=sys.stderr, flush=True)
dice = random.Random(seed)
truth = Truth()
device = truth.open(l1_small_size=16384, trace_region_size=1 << 20)
held = []


def shard():
    strategy = dice.choice([ttnn.ShardStrategy.HEIGHT, ttnn.ShardStrategy.WIDTH, ttnn.ShardStrategy.BLOCK])
    side = 256 * dice.randint(1, 2)
    grid = ttnn.CoreGrid(y=2, x=4)
    memory = ttnn.create_sharded_memory_config((1, 1, side, side), core_grid=grid, strategy=strategy)
    held.append(tensor(device, (1, 1, side, side), memory=memory))


def interleaved():
    shape = (dice.randint(1, 3), 1, dice.randint(1, 300), 2 * dice.randint(1, 150))
    dtype = dice.choice([ttnn.bfloat16, ttnn.float32, ttnn.uint32])
    held.append(tensor(device, shape, dtype, dice.choice([TILE, ROW]), dice.choice([DRAM, L1])))


def operate():
    # Few shapes: each new one is a program that must be compiled.
    one = tensor(device, (1, 1, 32 * dice.randint(1, 2), 64))
    held.append(dice.choice([lambda: ttnn.add(one, one), lambda: ttnn.multiply(one, 3.0), lambda: ttnn.exp(one)])())


def free():
    if held:
        ttnn.deallocate(held.pop(dice.randrange(len(held))))


def forget():
    del held[dice.randrange(len(held) + 1):]


def clear_programs():
    device.clear_program_cache()


ACTIONS = [(interleaved, 40), (shard, 12), (operate, 12), (free, 40), (forget, 1), (clear_programs, 1)]
for step in range(24):
    for action in dice.choices([action for action, _ in ACTIONS], [weight for _, weight in ACTIONS], k=25):
        try:
            action()
        except RuntimeError as error:
            # L1 is full, or in pieces. That counts nothing; half goes, and on.
            assert "Out of Memory" in str(error), error
            dice.shuffle(held)
            del held[: len(held) // 2]
    truth.check(f"seed {seed}, step {step}")
    truth.check_map(f"seed {seed}, step {step}")
truth.close(device)
truth.check("closed")
truth.finish()
