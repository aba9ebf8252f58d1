"""Phases of a job on stock ttnn: what is alive is listed with the phase in which it was allocated."""
import os
import sys
import threading

import ttnn
from truth import DRAM, L1, Disagreement, Truth, tensor
from truth import tt_alloc as ask

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 4, "capi", "python"))
import tt_alloc  # noqa: E402

truth = Truth()
device = truth.open()
kept = []  # (tensor, its memory kind, its phase)


def listed(*arguments):
    answer = ask("buffers", "--pid", str(os.getpid()), *arguments)
    return answer["buffers"] if answer else []


def keep(made, memory, phase):
    kept.append((made, "L1" if memory is L1 else "DRAM", phase))
    return made


def check(label):
    truth.check(label)
    if "TT_ALLOC" not in os.environ:
        return
    seen = {(row["memory"], row["address"]): row["tag"] for row in listed()}
    for made, kind, phase in kept:
        said = seen.get((kind, made.buffer_address()), "not listed")
        if said != phase:
            raise Disagreement(f"at {label!r}: a {kind} buffer of {phase!r} is said to be of {said!r}")


keep(tensor(device), DRAM, None)
check("before any phase")
with tt_alloc.tag("model load"):
    for number in range(3):
        keep(tensor(device, (1, 1, 64, 64 * (number + 1))), DRAM, "model load")
        check(f"weights {number}")
    weights = [made for made, _, phase in kept if phase == "model load"]
with tt_alloc.tag("decode"):
    for number, weight in enumerate(weights):
        keep(ttnn.add(weight, weight), DRAM, "decode")
        check(f"step {number}")
    with tt_alloc.tag("sample"):
        keep(tensor(device, memory=L1), L1, "sample")
        check("within")
    keep(tensor(device, memory=L1), L1, "decode")
    check("after what was within")
keep(tensor(device), DRAM, None)
check("after all phases")


def other():
    keep(tensor(device), DRAM, None)
    with tt_alloc.tag("another thread"):
        keep(tensor(device), DRAM, "another thread")


thread = threading.Thread(target=other)
thread.start()
thread.join()
check("another thread")
# What a program holds is of the phase in which it was made.
if "TT_ALLOC" in os.environ:
    of_programs = {row["tag"] for row in listed() if row["memory"] in ("CB", "KERNEL")}
    assert of_programs == {"decode"}, of_programs
    chosen = listed("--tag", "model load")
    assert {row["tag"] for row in chosen} == {"model load"} and len(chosen) >= 3, chosen
del weights, weight
kept[:] = [row for row in kept if row[2] != "model load"]
check("the weights are gone")
if "TT_ALLOC" in os.environ:
    assert not [row for row in listed("--tag", "model load") if row["memory"] == "DRAM"]
kept.clear()
del number
truth.check("all of it is gone")
truth.close(device)
truth.finish()
