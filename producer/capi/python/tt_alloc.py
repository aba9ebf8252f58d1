"""Names the phases of a job, so that `tt-alloc buffers` says in which one a live allocation was made.

    import tt_alloc
    with tt_alloc.tag("model load"):
        model = load(device)

One file without dependencies: copy it, or put its directory into PYTHONPATH. Where tracking is off, or no library of tt-alloc is loaded in
this process (`tt-alloc run`, or a tt-metal that is built with it), all of this does nothing, and says nothing. A phase is of one thread; a
forked child goes on in that of the thread that forked. The first 32 bytes of a name count.
"""

import contextlib
import ctypes
import os
import threading
import time

__all__ = ["tag", "tag_pop", "tag_push"]

_SECONDS = 1.0  # between two looks for a library that is not there yet


class _Thread(threading.local):
    def __init__(self):
        self.names = []  # of the phases that this thread is in
        self.told = 0  # so many of them


_thread = _Thread()
_found = None
_look_again = 0.0


def _loaded():
    """Names by which the loader may know our functions: first the program itself, which also means what was preloaded."""
    yield None
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split(maxsplit=5)[5].rstrip("\n") for line in maps if line.count("/") and "r-xp" in line}
    except (OSError, IndexError):
        return
    for path in sorted(paths):
        if os.path.basename(path).startswith(("libtt_alloc", "libtt_metal", "_ttnn")):
            yield path


def _functions():
    """(push, pop) of the library in this process, or None."""
    global _found, _look_again
    if _found is None and time.monotonic() >= _look_again:
        if os.environ.get("TT_ALLOC_TRACKING_ENABLED", "").strip().lower() in ("1", "true", "on", "yes"):
            for path in _loaded():
                try:
                    library = ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
                    push, pop = library.tt_alloc_tag_push, library.tt_alloc_tag_pop
                except (AttributeError, OSError):
                    continue
                push.argtypes, push.restype, pop.argtypes, pop.restype = [ctypes.c_char_p], None, [], None
                _found = push, pop
                return _found
        _look_again = time.monotonic() + _SECONDS
    return _found


def tag_push(name):
    """Until tag_pop(), what this thread allocates is of the phase `name`."""
    _thread.names.append(str(name).encode("utf-8", "replace").split(b"\0")[0])
    found = _functions()
    if found:
        # Also those of before the library came.
        for told in _thread.names[_thread.told :]:
            found[0](told)
        _thread.told = len(_thread.names)


def tag_pop():
    """The phase before the last tag_push() of this thread goes on. Does nothing if there is none."""
    if _thread.names:
        _thread.names.pop()
        if _thread.told > len(_thread.names):
            _thread.told -= 1
            _found[1]()


@contextlib.contextmanager
def tag(name):
    """with tag("decode"): what this thread allocates in it is of this phase."""
    tag_push(name)
    try:
        yield
    finally:
        tag_pop()
