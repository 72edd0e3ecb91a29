"""A process that works for another one of ours."""

import multiprocessing
import os
import signal
import threading


def follow_parent() -> None:
    """Called in the new process: Ctrl-C is the parent's business, and there is no life after the parent's death."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
