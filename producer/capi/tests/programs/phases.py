"""What tests/phases.rs runs: phases by tt_alloc.py, allocations by ctypes. `late`: the library comes when two phases are open already."""
import ctypes
import sys
import threading
import time

import tt_alloc

late = "late" in sys.argv


def load():
    library = ctypes.CDLL("libtt_alloc.so.0")
    library.tt_alloc_alloc_address.argtypes = [ctypes.c_uint32, ctypes.c_uint8, ctypes.c_uint64, ctypes.c_uint64]
    return library


def alloc(size):
    library.tt_alloc_alloc_address(0, 0, 32 * size, size)


if not late:
    library = load()
tt_alloc.tag_pop()
with tt_alloc.tag("model load"), tt_alloc.tag("weights"):
    if late:
        library = load()
        time.sleep(1.1)  # it is looked for once a second
        with tt_alloc.tag("now"):
            pass
    alloc(1)
    with tt_alloc.tag("é" * 20):
        alloc(2)
    try:
        with tt_alloc.tag("fails"):
            alloc(3)
            raise KeyError
    except KeyError:
        alloc(4)


def other():
    alloc(5)
    tt_alloc.tag_push("other thread")
    alloc(6)
    tt_alloc.tag_pop()
    tt_alloc.tag_pop()
    alloc(7)


thread = threading.Thread(target=other)
thread.start()
thread.join()
alloc(8)
print("blocks 8", flush=True)
sys.stdin.readline()
