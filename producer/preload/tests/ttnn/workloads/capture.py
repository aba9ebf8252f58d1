"""Graph captures: in NO_DISPATCH mode nothing is allocated and nothing may count; in NORMAL mode everything is."""
import ttnn
from truth import Truth, circular_bytes, tensor

graph = ttnn._ttnn.graph
truth = Truth()
device = truth.open()
a = tensor(device)
held = []
registered = 0

for number in range(5):
    graph.begin_graph_capture(graph.RunMode.NO_DISPATCH)
    pretended = [tensor(device, (1, 1, 64, 64 * (number + 1))), ttnn.add(a, a), ttnn.matmul(a, a)]
    truth.check(f"inside capture {number}")
    nodes = graph.end_graph_capture()
    assert any(node["node_type"] == "buffer_allocate" for node in nodes), "the capture saw no buffer"
    assert circular_bytes(nodes) > 0, "the capture saw no circular buffers"
    truth.check(f"after capture {number}")
    del pretended
    truth.check(f"pretended tensors of {number} dropped")
    truth.check_circular(f"capture {number} brought no circular buffers", registered)

    graph.begin_graph_capture(graph.RunMode.NORMAL)
    held.append(ttnn.add(a, float(number)))
    registered += circular_bytes(graph.end_graph_capture())
    truth.check(f"really run {number}")
    truth.check_circular(f"really run {number}", registered)
assert registered > 0
truth.close(device)
truth.check("closed")
truth.finish()
