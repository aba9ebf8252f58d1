"""200 tensors of mixed kind, operations on them, half of them freed: exact at every sample, on every chip."""
import ttnn
from truth import DRAM, L1, ROW, TILE, Truth, tensor

truth = Truth()
device = truth.open(l1_small_size=32768, trace_region_size=1 << 22)
grid = ttnn.CoreGrid(y=2, x=4)
SHARDED = [ttnn.create_sharded_memory_config((1, 1, 256, 256), core_grid=grid, strategy=strategy)
           for strategy in (ttnn.ShardStrategy.HEIGHT, ttnn.ShardStrategy.WIDTH, ttnn.ShardStrategy.BLOCK)]
TYPES = [ttnn.bfloat16, ttnn.float32, ttnn.uint32, ttnn.bfloat8_b]

held = []
for number in range(200):
    dtype = TYPES[number % 4]
    if number % 10 == 9:
        held.append(tensor(device, (1, 1, 256, 256), memory=SHARDED[number // 10 % 3]))
    else:
        layout = ROW if number % 3 == 0 and dtype != ttnn.bfloat8_b else TILE
        shape = (1, 1 + number % 3, 32 + 8 * (number % 7), 64 + 32 * (number % 5))
        held.append(tensor(device, shape, dtype, layout, L1 if number % 4 == 1 else DRAM))
    if number % 10 == 9:
        truth.check(f"{number + 1} tensors")

a = tensor(device, (1, 1, 64, 64))
for name, operation in {
    "add": lambda: ttnn.add(a, a),
    "matmul": lambda: ttnn.matmul(a, a),
    "softmax": lambda: ttnn.softmax(a, -1),
    "multiply": lambda: ttnn.multiply(a, 0.5),
    "transpose": lambda: ttnn.transpose(a, -2, -1),
}.items():
    held += [operation() for _ in range(3)]
    truth.check(name)

for number in range(0, 200, 2):
    ttnn.deallocate(held[number])
    if number % 20 == 18:
        truth.check(f"{number // 2 + 1} freed")
        truth.check_map(f"{number // 2 + 1} freed")
truth.finish()
truth.close(device)
