"""Operations: their outputs and temporaries, and the circular buffers of their programs.

What a program will take for circular buffers is known without tt-alloc: a graph
capture in NO_DISPATCH mode lists them, per core, and runs nothing.
"""
import ttnn
from truth import DATAFLOW, RESIDENCY, Truth, circular_bytes, tensor

graph = ttnn._ttnn.graph
truth = Truth()
device = truth.open()
a = tensor(device, (1, 1, 64, 64))
b = tensor(device, (1, 1, 64, 96))

OPERATIONS = {
    "add": lambda: ttnn.add(a, a),
    "multiply": lambda: ttnn.multiply(a, 2.0),
    "matmul": lambda: ttnn.matmul(a, b),
    "softmax": lambda: ttnn.softmax(a, -1),
    "exp": lambda: ttnn.exp(a),
    "layer_norm": lambda: ttnn.layer_norm(a),
    "transpose": lambda: ttnn.transpose(b, -2, -1),
    "sum": lambda: ttnn.sum(a, -1),
    "concat": lambda: ttnn.concat([a, b], -1),
    "typecast": lambda: ttnn.typecast(a, ttnn.float32),
    "reshape": lambda: ttnn.reshape(a, (1, 1, 32, 128)),
}


def planned(operation):
    """Bytes of circular buffers that this operation would take on one chip."""
    graph.begin_graph_capture(graph.RunMode.NO_DISPATCH)
    try:
        operation()
    finally:
        nodes = graph.end_graph_capture()
    return circular_bytes(nodes)


held = []
registered = 0
for name, operation in OPERATIONS.items():
    plan = planned(operation)
    assert plan > 0 or not DATAFLOW, f"the capture of {name} saw no circular buffers"
    truth.check(f"{name}: a capture that runs nothing allocates nothing")
    truth.check_circular(f"{name}: nor circular buffers", registered)

    before = device.num_program_cache_entries()
    held.append(operation())
    entries = device.num_program_cache_entries()
    assert entries > before, f"{name} brought no program"
    registered += plan
    truth.check(name)
    truth.check_circular(f"{name}: as planned", registered)

    held.append(operation())
    assert device.num_program_cache_entries() == entries, f"{name} was not cached"
    truth.check(f"{name} from the program cache")
    truth.check_circular(f"{name}: cached, no more of them", registered)
    figures, _ = truth.circular()
    for chip, figure in figures.items() if plan > 0 else ():
        # Of an operation of several programs, the last one stays.
        resident = figure["resident_bytes"]
        right = (resident == plan if entries == before + 1 else 0 < resident < plan) if RESIDENCY else resident == 0
        assert right, f"{name} takes {plan} on {chip}, tt-alloc says {figure}"

device.clear_program_cache()
truth.check("program cache cleared")
truth.check_circular("program cache cleared", 0)

plan = planned(OPERATIONS["add"])
held.append(OPERATIONS["add"]())
truth.check("a program again")
truth.check_circular("a program again", plan)
del held[:]
truth.check("outputs out of scope")
truth.close(device)
truth.check_circular("closed", 0)
truth.check("closed")
truth.finish()
