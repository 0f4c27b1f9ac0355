"""What a Python kernel is told before the first cell, silently and outside the notebook's names."""

from __future__ import annotations

_SOURCE = """
import atexit
import faulthandler
import sys
import threading


# a crash in native code prints its Python stack where the runner finds it; ipykernel has moved stderr away
faulthandler.enable(getattr(sys.stderr, "_original_stdstream_copy", None) or 2, all_threads=False)


# ipykernel's exit handler, which runs after this one, closes the channel that its control thread may still be
# publishing on: one exit in ten hangs. The thread ends by itself when it has answered the shutdown request.
@atexit.register
def let_the_control_thread_end():
    for thread in threading.enumerate():
        if thread.name == "Control":
            thread.join(1)
"""

PROLOGUE = f"exec({_SOURCE!r}, {{}})"
