"""Traces: what a trace keeps in the TRACE region, and tensors put there.

Mock devices can capture a trace and keep its buffer, but not run it.
"""
import ttnn
from truth import Truth, tensor

truth = Truth()
device = truth.open(trace_region_size=1 << 22)
truth.check("open")

traces = []
for number in range(4):
    trace = ttnn.begin_trace_capture(device, cq_id=0)
    truth.check(f"capture {number} begun")
    ttnn.end_trace_capture(device, trace, cq_id=0)
    traces.append(trace)
    truth.check(f"trace {number} kept")
assert truth.expected()[truth.chips[0]]["TRACE"]["bytes"] > 0, "a trace takes nothing"

region = ttnn.MemoryConfig(ttnn.TensorMemoryLayout.INTERLEAVED, ttnn.BufferType.TRACE)
held = [tensor(device, (1, 1, 32, 32 * (n + 1)), memory=region) for n in range(3)]
truth.check("tensors in the region")
truth.check_map("tensors in the region")
for trace in traces[::2]:
    ttnn.release_trace(device, trace)
    truth.check("a trace released")
del held
for trace in traces[1::2]:
    ttnn.release_trace(device, trace)
truth.check("all gone")
truth.check_map("all gone")
truth.close(device)
truth.check("closed")
truth.finish()
