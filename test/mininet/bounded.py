"""A limit for what is done with Mininet, which reads its shells without one."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading

from mininet.node import Node


def late(what, seconds, clean):
    try:
        print(f"Mininet takes longer than {seconds} s to {what}; it is here:", file=sys.stderr)
        faulthandler.dump_traceback()
        # The main thread may be making one.
        for node in list(Node.outToNode.values()):
            if node.shell:
                # A session of its own, with what runs in it.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(node.shell.pid, signal.SIGKILL)
        clean()
    finally:
        os._exit(1)


@contextlib.contextmanager
def within(seconds, what, clean=lambda: None):
    """Ends the process with its shells if what is done inside takes longer, says where it hangs, and
    calls `clean`."""
    timer = threading.Timer(seconds, late, (what, seconds, clean))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
