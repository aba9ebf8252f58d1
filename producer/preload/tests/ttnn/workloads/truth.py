"""What tt-metal's allocator says, and whether tt-alloc says the same.

A workload opens devices through `Truth`, and calls `check(label)` wherever the
figures must agree. tt-alloc sees events a moment after they happen, so `check`
asks until both agree, and gives up with both tables after `PATIENCE`.

Environment: TT_ALLOC is the path of `tt-alloc`; without it `check` does nothing
(so that a workload can also be run by hand, untracked). TT_ALLOC_PATIENCE: seconds.
"""
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time

import ttnn

PATIENCE = float(os.environ.get("TT_ALLOC_PATIENCE", "20"))
KINDS = ("DRAM", "L1", "L1_SMALL", "TRACE")
LEAST_SAMPLES = 10
VERSION = tuple(int(number) for number in importlib.metadata.version("ttnn").split(".")[:2])
# What each version lets the hooks see: dataflow buffers, which program is resident, and, on mock devices only, whether kernels
# get so far as to have their places.
DATAFLOW, RESIDENCY, KERNELS = VERSION >= (0, 79), VERSION >= (0, 76), VERSION >= (0, 81)
TILE, ROW = ttnn.TILE_LAYOUT, ttnn.ROW_MAJOR_LAYOUT
DRAM, L1 = ttnn.DRAM_MEMORY_CONFIG, ttnn.L1_MEMORY_CONFIG


def tt_alloc(*arguments):
    """The JSON of a tt-alloc command, or None when there is nothing to show."""
    untracked = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "TT_ALLOC_TRACKING_ENABLED")}
    run = subprocess.run([os.environ["TT_ALLOC"], *arguments, "--json"], env=untracked, capture_output=True, text=True, check=False)
    return json.loads(run.stdout) if run.returncode == 0 else None


def chip_ids():
    """Logical number -> unique id of every chip of the mock cluster, as its description lists them."""
    with open(os.environ["TT_METAL_MOCK_CLUSTER_DESC_PATH"], encoding="utf-8") as file:
        section = re.search(r"^chip_unique_ids:\n((?:  \d+: \d+\n)+)", file.read(), re.MULTILINE)
    return {int(number): hex(int(unique)) for number, unique in re.findall(r"(\d+): (\d+)", section.group(1))}


def tensor(device, shape=(1, 1, 64, 64), dtype=ttnn.bfloat16, layout=TILE, memory=DRAM):
    return ttnn.zeros(shape, dtype=dtype, layout=layout, device=device, memory_config=memory)


def circular_bytes(nodes):
    """Bytes per chip of the circular and dataflow buffers that a graph capture tells of, without borrowed ones."""
    per_device = {}
    told = ("circular_buffer_allocate", "dataflow_buffer_allocate") if DATAFLOW else ("circular_buffer_allocate",)
    for node in nodes:
        about = node["params"]
        if node["node_type"] not in told:
            continue
        corners = re.findall(r"\[(\d+)-(\d+) - (\d+)-(\d+)\]", about["core_range_set"])
        cores = sum((int(x1) - int(x0) + 1) * (int(y1) - int(y0) + 1) for x0, y0, x1, y1 in corners)
        borrowed = about.get("globally_allocated", about.get("borrows_memory"))
        size = 0 if borrowed == "1" else int(about["size"]) * cores
        per_device[about["device_id"]] = per_device.get(about["device_id"], 0) + size
    assert len(set(per_device.values())) <= 1, per_device
    return max(per_device.values(), default=0)


class Disagreement(AssertionError):
    pass


class Truth:
    def __init__(self):
        self.devices = []
        self.samples = 0
        self.chips = chip_ids()

    # Devices

    def open(self, **options):
        """Every chip of the cluster as one mesh; of a cluster with one chip, that chip."""
        if len(self.chips) == 1:
            return self.adopt(ttnn.open_device(device_id=0, **options))
        return self.open_mesh(1, len(self.chips), **options)

    def open_mesh(self, rows, columns, **options):
        return self.adopt(ttnn.open_mesh_device(ttnn.MeshShape(rows, columns), **options))

    def adopt(self, device):
        """Counts what this device allocates as well."""
        self.devices.append(device)
        return device

    def close(self, device):
        self.forget(device)
        (ttnn.close_device if len(self.chips) == 1 else ttnn.close_mesh_device)(device)

    def forget(self, device):
        self.devices = [other for other in self.devices if other is not device]

    # What must be so

    def expected(self):
        """{chip id: {kind: {"bytes", "blocks"}}} by the allocators of all open devices."""
        table = {unique: {kind: {"bytes": 0, "blocks": 0} for kind in KINDS} for unique in self.chips.values()}
        for device in self.devices:
            live = ttnn._ttnn.reports.get_buffers(device)
            for kind in KINDS:
                view = ttnn.get_memory_view(device, getattr(ttnn.BufferType, kind))
                blocks = sum(buffer.buffer_type == getattr(ttnn.BufferType, kind) for buffer in live)
                for number in device.get_device_ids():
                    entry = table[self.chips[number]][kind]
                    # Allocation is in lock-step: a mesh takes the same of each of its chips.
                    entry["bytes"] += view.total_bytes_allocated_per_bank * view.num_banks
                    entry["blocks"] += blocks
        return table

    def expected_buffers(self):
        """Sorted [chip id, kind, address, footprint] of every live buffer."""
        rows = []
        for device in self.devices:
            live = ttnn._ttnn.reports.get_buffers(device)
            for kind in KINDS:
                view = ttnn.get_memory_view(device, getattr(ttnn.BufferType, kind))
                # The blocks say how much of each bank a buffer takes, the buffers where it is.
                blocks = sorted((int(block["address"]), int(block["size"])) for block in view.block_table if block["allocated"] == "yes")
                addresses = sorted(buffer.address for buffer in live if buffer.buffer_type.name == kind)
                assert len(blocks) == len(addresses), (kind, blocks, addresses)
                for (_, size), address in zip(blocks, addresses):
                    rows += [[self.chips[number], kind, address, size * view.num_banks] for number in device.get_device_ids()]
        return sorted(rows)

    # What is said

    def shown(self, stats):
        """The same table as `expected`, by tt-alloc, of this process; faults of the whole report beside it."""
        table = {unique: {kind: {"bytes": 0, "blocks": 0} for kind in KINDS} for unique in self.chips.values()}
        if stats is None:
            return table, ["no stats"]
        faults = []
        sums = {}
        for process in stats["processes"]:
            for row in process["devices"]:
                for kind in KINDS:
                    figures = row["memory"][kind]
                    sums[row["chip_id"], kind] = sums.get((row["chip_id"], kind), 0) + figures["footprint_bytes"]
                    if process["pid"] != os.getpid():
                        continue
                    if self.chips.get(row["device"]) != row["chip_id"]:
                        faults.append(f"device {row['device']} is said to be chip {row['chip_id']}")
                        continue
                    if not figures["detail_complete"]:
                        faults.append(f"{kind} of {row['chip_id']} is marked incomplete")
                    table[row["chip_id"]][kind] = {"bytes": figures["footprint_bytes"], "blocks": figures["blocks"]}
        for device in stats["devices"]:
            for kind in KINDS:
                total, rows = device["memory"][kind]["footprint_bytes"], sums.get((device["chip_id"], kind), 0)
                if total != rows:
                    faults.append(f"{kind} of {device['chip_id']}: total {total}, but its processes hold {rows}")
        wrong = {name: count for name, count in stats["aggregator"]["anomalies"].items() if count}
        if wrong:
            faults.append(f"anomalies {wrong}")
        for name in ("dropped_events_total", "torn_events_total", "rejected_rings_total"):
            if stats["aggregator"][name]:
                faults.append(f"{name} {stats['aggregator'][name]}")
        return table, faults

    def shown_buffers(self):
        answer = tt_alloc("buffers", "--pid", str(os.getpid()))
        rows = answer["buffers"] if answer else []
        return sorted([row["chip_id"], row["memory"], row["address"], row["footprint_bytes"]]
                      for row in rows if row["memory"] in KINDS)

    def check(self, label):
        """tt-alloc agrees with the allocators by now, chip by chip and buffer by buffer, or this raises."""
        if "TT_ALLOC" not in os.environ:
            return
        expected, expected_buffers = self.expected(), self.expected_buffers()
        deadline = time.monotonic() + PATIENCE
        while True:
            shown, faults = self.shown(tt_alloc("stats"))
            if shown == expected and not faults:
                buffers = self.shown_buffers()
                if buffers == expected_buffers:
                    break
                faults = [f"buffers only the allocator has: {[row for row in expected_buffers if row not in buffers][:8]}",
                          f"buffers only tt-alloc has: {[row for row in buffers if row not in expected_buffers][:8]}"]
            if time.monotonic() > deadline:
                raise Disagreement(self.difference(label, expected, shown, faults))
            time.sleep(0.01)
        self.samples += 1

    def expected_map(self):
        """[[chip id, kind, banks, bytes of a bank, taken, free, largest free run]] by the allocators of all open devices."""
        rows = []
        for device in self.devices:
            for kind in KINDS:
                view = ttnn.get_memory_view(device, getattr(ttnn.BufferType, kind))
                figures = [view.num_banks, view.total_bytes_per_bank, view.total_bytes_allocated_per_bank,
                           view.total_bytes_free_per_bank, view.largest_contiguous_bytes_free_per_bank]
                if view.total_bytes_per_bank:
                    rows += [[self.chips[number], kind, *figures] for number in device.get_device_ids()]
        return sorted(rows)

    def check_map(self, label):
        """What is free in each bank, and the largest free run, are the allocators' own figures: where nobody else holds anything."""
        if "TT_ALLOC" not in os.environ:
            return
        expected, keys = self.expected_map(), ("banks", "bank_bytes", "taken_bytes_per_bank", "free_bytes_per_bank", "largest_free_bytes_per_bank")
        deadline = time.monotonic() + PATIENCE
        while True:
            told = tt_alloc("map") or {"spaces": []}
            spaces = [one for one in told["spaces"] if one["memory"] in KINDS and one["bank_bytes"]]
            shown = sorted([one["chip_id"], one["memory"], *(one[key] for key in keys)] for one in spaces)
            if shown == expected and all(one["exact"] for one in spaces):
                break
            if time.monotonic() > deadline:
                raise Disagreement(f"at {label!r}: the map's figures {keys}\nof the allocators {expected}\nof tt-alloc    {shown}\n{told}")
            time.sleep(0.01)
        self.samples += 1

    @staticmethod
    def difference(label, expected, shown, faults):
        lines = [f"at {label!r} tt-alloc and the allocator disagree", f"{'chip':>18} {'memory':9} {'allocator':>26} {'tt-alloc':>26}"]
        for chip, kinds in expected.items():
            for kind, truth in kinds.items():
                said = shown[chip][kind]
                both = [f"{entry['bytes']} B in {entry['blocks']}" for entry in (truth, said)]
                lines.append(f"{chip:>18} {kind:9} {both[0]:>26} {both[1]:>26} {'' if truth == said else '<---'}")
        return "\n".join(lines + faults)

    # Circular buffers

    def circular(self):
        """{chip id: our CB figures}, of the chips where we hold something, and their L1 capacities."""
        stats = tt_alloc("stats") or {"processes": [], "devices": []}
        mine = [row for process in stats["processes"] if process["pid"] == os.getpid() for row in process["devices"]]
        capacities = {device["chip_id"]: device["memory"]["L1"]["capacity_bytes"] for device in stats["devices"]}
        return {row["chip_id"]: row["memory"]["CB"] for row in mine}, capacities

    def check_circular(self, label, registered):
        """Circular buffers of `registered` bytes on every chip, none of them resident beyond what L1 holds."""
        if "TT_ALLOC" not in os.environ:
            return
        wanted = {unique: registered for unique in self.chips.values()}
        deadline = time.monotonic() + PATIENCE
        while True:
            figures, capacities = self.circular()
            seen = {unique: figures[unique]["registered_bytes"] if unique in figures else 0 for unique in wanted}
            if seen == wanted:
                break
            if time.monotonic() > deadline:
                raise Disagreement(f"at {label!r}: programs have {wanted} bytes of circular buffers, tt-alloc says {seen}")
            time.sleep(0.01)
        for unique, figure in figures.items():
            resident, capacity = figure["resident_bytes"], capacities[unique]
            if not resident <= min(capacity, figure["registered_bytes"]):
                raise Disagreement(f"at {label!r}: {resident} bytes resident on {unique}, of {capacity} in L1: {figure}")
        self.samples += 1

    def finish(self):
        """The last line of every workload; the suite reads it."""
        if "TT_ALLOC" in os.environ and self.samples < LEAST_SAMPLES:
            sys.exit(f"only {self.samples} samples: a workload compares at {LEAST_SAMPLES} points at least")
        print(f"SAMPLES {self.samples}", flush=True)
