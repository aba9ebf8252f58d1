"""Does what the suite tells it on standard input, one command a line, and answers each with one line of JSON.

  alloc N   N tensors, in DRAM and L1 by turns        check LABEL   compares, as every workload does
  free N    frees the N oldest                        truth         the allocators' table
  operate   an operation with circular buffers        close / open  the device
  finish    leaves in an orderly way                  crash         leaves by abort
"""
import json
import os
import sys

import ttnn
from truth import DRAM, L1, Truth, tensor

truth = Truth()
state = {"device": truth.open(), "held": [], "made": 0}


def alloc(count):
    for _ in range(int(count)):
        state["made"] += 1
        width = 32 * (1 + state["made"] % 9)
        state["held"].append(tensor(state["device"], (1, 1, 64, width), memory=L1 if state["made"] % 3 == 0 else DRAM))


def free(count):
    for _ in range(int(count)):
        ttnn.deallocate(state["held"].pop(0))


def operate():
    one = tensor(state["device"])
    state["held"].append(ttnn.add(one, one))


def close():
    truth.close(state["device"])
    state["held"].clear()


def open_again():
    state["device"] = truth.open()


COMMANDS = {"alloc": alloc, "free": free, "operate": operate, "close": close, "open": open_again, "crash": os.abort,
            "check": truth.check, "truth": truth.expected}


def answer(value=None):
    print(f"ANSWER {json.dumps(value)}", flush=True)


answer(os.getpid())
for line in sys.stdin:
    command, _, argument = line.strip().partition(" ")
    if command == "finish":
        break
    answer(COMMANDS[command](argument) if argument else COMMANDS[command]())
