"""Python's multiprocessing: every child opens the device for itself, beside its siblings.

  multiprocess.py fork | spawn

The parent has had a device, and has one afterwards, but none meanwhile: an open device does not survive a fork. Children compare what
tt-alloc shows of them with their own allocators, the parent that each has a row of its own with just its figures and that they end
without a trace.
"""
import multiprocessing
import os
import random
import sys
import time

import ttnn
from truth import DRAM, KINDS, L1, PATIENCE, Truth, tensor, tt_alloc

CHILDREN = 3


def child(number, pipe):
    """Goes on by a step whenever the parent says so, and answers with its allocator's table."""
    truth = Truth()
    dice = random.Random(number)
    device = truth.open()
    held = []
    for step in range(4):
        pipe.recv()
        for _ in range(10 * (number + 1)):
            held.append(tensor(device, (1, 1, 32, 32 * dice.randint(1, 8)), memory=dice.choice([DRAM, L1])))
        for one in held[::3]:
            ttnn.deallocate(one)
        del held[::3]
        truth.check(f"child {number}, step {step}")
        pipe.send((os.getpid(), truth.expected(), truth.samples))
    pipe.recv()
    if number == 0:
        # Leaves as it is: everything of it goes with the process.
        os._exit(0)
    held.clear()
    truth.close(device)
    truth.check(f"child {number}, closed")


def rows():
    """{pid: {chip id: {kind: {"bytes", "blocks"}}}}, by tt-alloc, without what is empty."""
    found = {}
    for process in (tt_alloc("stats") or {"processes": []})["processes"]:
        for row in process["devices"]:
            for kind in KINDS:
                figures = row["memory"][kind]
                entry = {"bytes": figures["footprint_bytes"], "blocks": figures["blocks"]}
                if any(entry.values()):
                    found.setdefault(process["pid"], {}).setdefault(row["chip_id"], {})[kind] = entry
    return found


def without_empty(table):
    chips = {chip: {kind: entry for kind, entry in kinds.items() if any(entry.values())} for chip, kinds in table.items()}
    return {chip: kinds for chip, kinds in chips.items() if kinds}


def wait_for(expected, what):
    deadline = time.monotonic() + PATIENCE
    while (shown := rows()) != expected:
        assert time.monotonic() < deadline, f"{what}: allocators say {expected}, tt-alloc says {shown}"
        time.sleep(0.01)


def have_a_device(truth, label):
    device = truth.open()
    held = [tensor(device) for _ in range(5)]
    truth.check(f"the parent's own {label}")
    held.clear()
    truth.close(device)
    truth.check(f"the parent has closed it {label}")


def main(method):
    context = multiprocessing.get_context(method)
    truth = Truth()
    have_a_device(truth, "before")
    children = []
    for number in range(CHILDREN):
        here, there = context.Pipe()
        process = context.Process(target=child, args=(number, there))
        process.start()
        there.close()
        children.append((process, here))
    samples = 0
    for step in range(4):
        for _, pipe in children:
            pipe.send("go on")
        answers = [pipe.recv() for _, pipe in children]
        assert [pid for pid, _, _ in answers] == [process.pid for process, _ in children]
        assert os.getpid() not in rows(), "the parent holds nothing"
        wait_for({pid: without_empty(table) for pid, table, _ in answers}, f"step {step}")
        samples += 1
    for process, pipe in children:
        pipe.send("end")
        process.join(PATIENCE * 3)
        assert process.exitcode == 0, (process.pid, process.exitcode)
    wait_for({}, "all children ended")
    have_a_device(truth, "afterwards")
    print("SAMPLES", samples + truth.samples + sum(count for _, _, count in answers), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
