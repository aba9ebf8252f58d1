"""Kernels of programs: what each has on how many cores, until the program goes.

What a kernel takes is known without tt-alloc: the files that tt-metal compiled it to, and the cores that a graph
capture says the program's circular and dataflow buffers are on.
"""
import glob
import os
import re
import struct
import time

import ttnn
from truth import PATIENCE, Disagreement, Truth, tensor, tt_alloc

graph = ttnn._ttnn.graph
CACHE = os.environ["TT_METAL_CACHE"]
KINDS = ("brisc", "ncrisc", "trisc0", "trisc1", "trisc2")


def loaded_bytes(path):
    """What the segments of a 32-bit ELF file take."""
    with open(path, "rb") as file:
        elf = file.read()
    (headers,), (size, count) = struct.unpack_from("<I", elf, 28), struct.unpack_from("<HH", elf, 42)
    fields = [struct.unpack_from("<8I", elf, headers + number * size) for number in range(count)]
    return sum(filled for kind, _, _, _, filled, *_ in fields if kind == 1)


def binary_bytes():
    """Of every binary of a kernel: the stand-in compiler makes them all alike."""
    sizes = {loaded_bytes(path) for kind in KINDS for path in glob.glob(f"{CACHE}/**/kernels/**/{kind}.elf", recursive=True)}
    assert len(sizes) == 1, sizes
    return sizes.pop()


def cores(operation):
    """Cores of one chip that have circular or dataflow buffers of this operation."""
    graph.begin_graph_capture(graph.RunMode.NO_DISPATCH)
    try:
        operation()
    finally:
        nodes = graph.end_graph_capture()
    there = set()
    for node in nodes:
        if node["node_type"] in ("circular_buffer_allocate", "dataflow_buffer_allocate"):
            for corners in re.findall(r"\[(\d+)-(\d+) - (\d+)-(\d+)\]", node["params"]["core_range_set"]):
                x0, y0, x1, y1 = map(int, corners)
                there |= {(x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1)}
    return len(there)


def shown():
    """{chip id: KERNEL figures} of this process, and of the chips."""
    stats = tt_alloc("stats") or {"processes": [], "devices": []}
    mine = [row for process in stats["processes"] if process["pid"] == os.getpid() for row in process["devices"]]
    return ({row["chip_id"]: row["memory"]["KERNEL"] for row in mine},
            {device["chip_id"]: device["memory"]["KERNEL"] for device in stats["devices"]})


def check(label, blocks, application):
    """So many kernels of so many bytes on every chip; none is the system's, and all have room."""
    if "TT_ALLOC" not in os.environ:
        return
    wanted = {unique: (blocks, application) for unique in truth.chips.values()}
    deadline = time.monotonic() + PATIENCE
    while True:
        mine, chips = shown()
        none = {"blocks": 0, "application_bytes": 0}
        seen = {unique: tuple(mine.get(unique, none)[key] for key in none) for unique in wanted}
        if seen == wanted:
            break
        if time.monotonic() > deadline:
            raise Disagreement(f"at {label!r}: kernels (number, bytes) must be {wanted}, tt-alloc says {seen}")
        time.sleep(0.01)
    for figures in (*mine.values(), *chips.values()):
        assert figures["footprint_bytes"] == figures["application_bytes"] + figures["fabric_bytes"] + figures["dispatch_bytes"]
        assert figures["fabric_bytes"] == figures["dispatch_bytes"] == 0, figures
        if application:
            assert figures["capacity_bytes"] and figures["cumulative"] is False, (label, figures)
            assert figures["capacity_bytes"] >= figures["footprint_bytes"], figures
    truth.samples += 1


truth = Truth()
device = truth.open()
small, large = tensor(device, (1, 1, 32, 32)), tensor(device, (1, 1, 320, 320))

# Each has a reader, a writer and a compute kernel of three binaries.
OPERATIONS = {
    "add": lambda: ttnn.add(small, small),
    "exp of one tile": lambda: ttnn.exp(small),
    "add of many, the same program": lambda: ttnn.add(large, large),
    "exp of many": lambda: ttnn.exp(large),
}
check("no program", 0, 0)
number, total, places = 0, 0, set()
for name, operation in OPERATIONS.items():
    on = cores(operation)
    check(f"{name}: a capture that runs nothing loads nothing", number, total)
    programs = device.num_program_cache_entries()
    operation()
    programs = device.num_program_cache_entries() - programs
    number, total = number + 3 * programs, total + 5 * binary_bytes() * on * programs
    places.add(on * programs)
    check(name, number, total)
    for _ in range(3):
        operation()
    check(f"{name}, from the program cache", number, total)
    truth.check(name)

assert 0 in places and max(places) > 1, f"one of the program cache, and one on many cores: {places}"
device.clear_program_cache()
check("program cache cleared", 0, 0)
operation()
check("loaded again", 3, 5 * binary_bytes() * on)
del small, large, OPERATIONS, operation
truth.close(device)
check("closed", 0, 0)

device = truth.open()
check("opened again", 0, 0)
large = tensor(device, (1, 1, 320, 320))
ttnn.exp(large)
check("a program in the second life", 3, 5 * binary_bytes() * on)
truth.check("the second life")
truth.finish()
