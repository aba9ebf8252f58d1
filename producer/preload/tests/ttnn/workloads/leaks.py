"""A loop that keeps one tensor an iteration is found by `tt-alloc leaks --watch`; one that keeps none is not."""
import json
import os
import subprocess

import ttnn
from truth import tensor

UNTRACKED = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "TT_ALLOC_TRACKING_ENABLED")}


def watched(iteration):
    """What `tt-alloc leaks` says of this process, which goes round all the time."""
    command = [os.environ["TT_ALLOC"], "leaks", "--watch", "5", "--every", "500ms", "--pid", str(os.getpid()), "--json"]
    iterations = 0
    with subprocess.Popen(command, env=UNTRACKED, stdout=subprocess.PIPE, text=True) as tool:
        while tool.poll() is None:
            iteration()
            iterations += 1
        report = json.loads(tool.stdout.read())
    assert tool.returncode == 0 and iterations > 20, (tool.returncode, iterations)
    return report


def step():
    one = tensor(device)
    return ttnn.add(one, one)


device = ttnn.open_device(device_id=0)
kept = [step() for _ in range(5)]

for attempt in range(2):
    healthy = watched(step)
    assert healthy["suspects"] == 0 and not healthy["not_known"], json.dumps(healthy, indent=1)

leaking = watched(lambda: kept.append(step()))
suspects = [one for one in leaking["findings"] if one["suspect"]]
assert suspects, json.dumps(leaking, indent=1)
for one in suspects:
    assert (one["kind"], one["pid"], one["class"]) == ("grew", os.getpid(), "application"), one
assert any(one["memory"] == "DRAM" and one["count"] > 10 for one in suspects), suspects
print("FOUND", suspects[0]["text"])

kept.clear()
ttnn.close_device(device)
