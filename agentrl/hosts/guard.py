"""What keeps an environment in this process from holding it up or ending it, as far as Python can."""

import dis
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import NoReturn

from agentrl.hosts.faults import EnvFault

AGAIN_S = 1.0
"""Seconds after which a call that did not heed its limit is interrupted again."""


class OvertimeError(BaseException):
    """A call took longer than its limit. No environment catches it by accident, unless it catches everything."""


class Guard(threading.local):
    """Around a call: an alarm that interrupts it, in the main thread and unless the alarm is another's, and no exit.

    ``os._exit`` would end the run with the exit code of a success: from a call it raises instead, for as long as this
    process lives, unless it is called in a child that the environment forked.
    """

    def __init__(self) -> None:
        self._process = 0
        self._is_ringing = False

    def enter(self, limit_s: float | None = None) -> None:
        """Let :class:`OvertimeError` be raised after so many seconds, if the alarm is ours."""
        if os._exit is not _refuse:
            vars(os)["_exit"] = _refuse
        self._process = os.getpid()
        if limit_s and threading.get_ident() == threading.main_thread().ident and self._has_alarm():
            self._is_ringing = True
            signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)

    def leave(self) -> None:
        """End what :meth:`enter` began."""
        self._process = 0
        if self._is_ringing:
            self._is_ringing = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    @property
    def is_inside(self) -> bool:
        """This thread is in a call, in the process that made it."""
        return self._process == os.getpid()

    def _has_alarm(self) -> bool:
        handler = signal.getsignal(signal.SIGALRM)
        if handler is signal.SIG_DFL:
            signal.signal(signal.SIGALRM, self._ring)
            return True
        return handler == self._ring

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        if self._is_ringing:
            raise OvertimeError


GUARD = Guard()
"""The one of this process, for there is one alarm, with a state for each thread."""

_exit = os._exit


def _refuse(code: int) -> NoReturn:
    if not GUARD.is_inside:
        _exit(code)
    raise EnvFault("SystemExit", f"os._exit({code})")


def is_own_interrupt(error: KeyboardInterrupt) -> bool:
    """Tell whether an environment's own code raised it, rather than a handler of Ctrl-C in the middle of that code."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code
    handler = signal.getsignal(signal.SIGINT)
    handler = getattr(handler, "func", handler)  # asyncio's is a partial of a method
    function = getattr(handler, "__func__", handler)
    is_raised = code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return is_raised and code is not getattr(function, "__code__", None)
