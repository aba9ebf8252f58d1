"""A process with an open device that makes children of every sort; none of them touches tt-metal, and none changes a figure.

None of them ends with handlers and destructors: tt-metal's own wait in a forked child for threads that are not there, tracked or not.
"""
import os
import subprocess
import sys
import threading

import ttnn
from truth import Truth, tensor

THREADS, EACH = 8, 100

truth = Truth()
device = truth.open()
held = [tensor(device) for _ in range(20)]
truth.check("before any child")


def wait_for(pid, code=0):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code


# Forked, and ended without the interpreter's end.
for number in range(20):
    child = os.fork()
    if child == 0:
        os._exit(number)
    wait_for(child, number)
    held.append(tensor(device))
truth.check("forks")

# Forked, and another program run in it.
for _ in range(20):
    child = os.fork()
    if child == 0:
        os.execv("/bin/true", ["true"])
    wait_for(child)
    ttnn.deallocate(held.pop(0))
truth.check("forks with exec")

# Forked, and killed.
for _ in range(20):
    child = os.fork()
    if child == 0:
        os.abort()
    wait_for(child, -6)
truth.check("children that abort")

# Two generations: the child ends before its own child does.
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    if os.fork() == 0:
        os.read(reader, 1)
    os._exit(0)
wait_for(child)
held.append(tensor(device))
truth.check("a grandchild lives")
os.write(writer, b".")

# vfork or posix_spawn, from several threads, while the device is used. The children are tracked as well: the hooks are loaded
# into each and never called.
faults = []


def storm():
    try:
        for number in range(EACH):
            if number % 2:
                os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
            else:
                subprocess.run(["/bin/true"], check=True)
    except BaseException as fault:
        faults.append(fault)
        raise


threads = [threading.Thread(target=storm) for _ in range(THREADS)]
for thread in threads:
    thread.start()
samples = 0
while any(thread.is_alive() for thread in threads):
    held.append(tensor(device))
    ttnn.deallocate(held.pop(0))
    truth.check(f"in the storm {samples}")
    samples += 1
for thread in threads:
    thread.join()
assert not faults, faults
for number in range(5):
    held.append(tensor(device))
    truth.check(f"after the storm {number}")
held.clear()
truth.close(device)
truth.check("closed")
truth.finish()
