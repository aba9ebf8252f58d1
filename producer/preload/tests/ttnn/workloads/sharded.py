"""Sharded tensors in L1, L1_SMALL and DRAM: allocated on few cores, taken from all banks."""
import ttnn
from truth import ROW, TILE, Truth, tensor

truth = Truth()
device = truth.open(l1_small_size=32768)


def cores(columns, rows):
    return ttnn.CoreRangeSet({ttnn.CoreRange(ttnn.CoreCoord(0, 0), ttnn.CoreCoord(columns - 1, rows - 1))})


def sharded(strategy, kind, shard, grid):
    spec = ttnn.ShardSpec(grid, shard, ttnn.ShardOrientation.ROW_MAJOR)
    return ttnn.MemoryConfig(strategy, kind, spec)


held = []
for strategy in (ttnn.ShardStrategy.HEIGHT, ttnn.ShardStrategy.WIDTH, ttnn.ShardStrategy.BLOCK):
    for shape in ((1, 1, 256, 256), (1, 1, 512, 512)):
        memory = ttnn.create_sharded_memory_config(shape, core_grid=ttnn.CoreGrid(y=2, x=4), strategy=strategy)
        held.append(tensor(device, shape, memory=memory))
        truth.check(f"L1 {strategy} {shape}")
ttnn.deallocate(held.pop(2))
truth.check("one shard set freed")

HEIGHT = ttnn.TensorMemoryLayout.HEIGHT_SHARDED
for columns in (1, 4):
    memory = sharded(HEIGHT, ttnn.BufferType.L1_SMALL, (32, 32), cores(columns, 1))
    held.append(tensor(device, (1, 1, 32 * columns, 32), memory=memory))
    truth.check(f"L1_SMALL on {columns} cores")
    truth.check_map(f"L1_SMALL on {columns} cores")
held.append(tensor(device, (1, 1, 128, 32), memory=sharded(HEIGHT, ttnn.BufferType.DRAM, (32, 32), cores(4, 1))))
truth.check("DRAM in shards")

# The sliding windows of a pool keep their index tables in L1_SMALL.
image = tensor(device, (1, 1, 16 * 16, 64), layout=ROW)
pooled = ttnn.max_pool2d(image, batch_size=1, input_h=16, input_w=16, channels=64, kernel_size=[2, 2], stride=[2, 2],
                         padding=[0, 0], dilation=[1, 1])
truth.check("pool, its tables in the program cache")
device.clear_program_cache()
truth.check("tables gone with the program cache")

del held[:]
truth.check("all shards out of scope")
truth.close(device)
truth.check("closed")
truth.finish()
