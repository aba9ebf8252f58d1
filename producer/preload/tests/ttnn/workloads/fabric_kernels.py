"""The kernels of the fabric, which mock devices compile and never load: here they are loaded.

With a fabric configured, tt-metal compiles a program for each chip and on real chips loads it by
`Device::configure_fabric`. Mock devices stop before that, so this calls it: it finalises the program and writes it
to a chip that throws it away. Between two operations of the application, it must be told as the fabric's.
"""
import ctypes
import os
import time

import ttnn
from truth import KERNELS, PATIENCE, Truth, tensor, tt_alloc

METAL = ctypes.CDLL(os.path.join(os.path.dirname(ttnn.__file__), "build/lib/libtt_metal.so"))
WORD = ctypes.sizeof(ctypes.c_void_p)


def table(name):
    """First word of the objects of a class."""
    return ctypes.addressof(ctypes.c_char.in_dll(METAL, name)) + 2 * WORD


def word(address):
    return ctypes.c_size_t.from_address(address).value


def mapped():
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in maps if line.split()[1][0] == "r"]


def inside(python_object, wanted):
    """The C++ object of this class that a Python object refers to."""
    ranges = mapped()
    for offset in range(2 * WORD, 8 * WORD, WORD):
        at = word(id(python_object) + offset)
        if at % WORD == 0 and any(low <= at < high for low, high in ranges) and word(at) == wanted:
            return at
    raise AssertionError("not found")


def devices(mesh):
    """The `Device*` of each chip of a mesh."""
    vector = (ctypes.c_size_t * 3)()
    get = METAL["_ZNK2tt8tt_metal11distributed10MeshDevice11get_devicesEv"]
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p]
    get(ctypes.addressof(vector), inside(mesh, table("_ZTVN2tt8tt_metal11distributed10MeshDeviceE")))
    found = [word(at) for at in range(vector[0], vector[1], WORD)]
    assert all(word(device) == table("_ZTVN2tt8tt_metal6DeviceE") for device in found)
    return found


def kernels():
    stats = tt_alloc("stats") or {"processes": []}
    mine = [row for process in stats["processes"] if process["pid"] == os.getpid() for row in process["devices"]]
    figures = {row["chip_id"]: row["memory"]["KERNEL"] for row in mine}
    keys = ("application_bytes", "fabric_bytes", "dispatch_bytes")
    return {unique: tuple(figures[unique][key] if unique in figures else 0 for key in keys) for unique in truth.chips.values()}


def check(label, holds):
    deadline = time.monotonic() + PATIENCE
    now = kernels()
    while not all(holds(*bytes) for bytes in now.values()):
        assert time.monotonic() < deadline, f"{label}: {now}"
        time.sleep(0.01)
        now = kernels()
    truth.samples += 1
    return now


truth = Truth()
ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
mesh = truth.open()
check("no kernel", lambda *bytes: bytes == (0, 0, 0))
a = tensor(mesh)
ttnn.add(a, a)
before = check("the application's", lambda *bytes: (bytes[0] > 0) == KERNELS and bytes[1:] == (0, 0))
# As tt-metal itself calls it: by the name, which the hooks stand in front of.
configure = ctypes.CDLL(None)["_ZN2tt8tt_metal6Device16configure_fabricEv"]
configure.restype, configure.argtypes = None, [ctypes.c_void_p]
for device in devices(mesh):
    configure(device)
loaded = check("the fabric's", lambda _, fabric, dispatch: fabric > 0 and dispatch == 0)
assert all(loaded[unique][0] == before[unique][0] for unique in before), (before, loaded)
for device in devices(mesh):
    configure(device)
assert check("once is enough", lambda _, fabric, dispatch: fabric > 0) == loaded
ttnn.exp(a)
fabric = {bytes[1] for bytes in loaded.values()}
most = max(bytes[0] for bytes in before.values())
check("more of the application", lambda *bytes: (bytes[0] > most) == KERNELS and bytes[1] in fabric and bytes[2] == 0)
mesh.clear_program_cache()
check("programs of the application gone", lambda *bytes: bytes[0] == 0 and bytes[1] in fabric)
for number in range(6):
    ttnn.add(a, a)
    truth.check(f"and nothing else is disturbed {number}")
print("FABRIC", *fabric, flush=True)
del a
truth.close(mesh)
check("closed", lambda *bytes: bytes == (0, 0, 0))
truth.finish()
