"""Data-parallel processes: started, told to stop, and waited for."""

import asyncio
import os
import signal
import socket
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException

from agentrl.errors import AgentrlError, ConfigError
from agentrl.trainer.config import Config
from agentrl.trainer.interrupts import SIGNALS
from agentrl.update import distributed

GRACE_S = 5.0
"""Seconds that the other processes have to end by themselves once one has failed."""
MOST_PER_CORE = 8
"""Most processes a core: more of them only wait for one another, and fill the memory."""


def num_processes(config: Config) -> int:
    """Return how many data-parallel processes the run uses: those of torchrun, or on this machine."""
    if "WORLD_SIZE" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    cores = len(os.sched_getaffinity(0))
    if config.run.processes:
        if config.run.processes > max(MOST_PER_CORE * cores, torch.cuda.device_count()):
            raise ConfigError(
                f"run.processes {config.run.processes} on a machine of {cores} cores: at most {MOST_PER_CORE} a core"
            )
        return config.run.processes
    if torch.cuda.is_available() or config.engine.kind == "vllm":
        return 1
    return max(1, min(cores, config.rollout.tasks_per_iteration))


def launch(function: Callable[..., None], arguments: tuple[Any, ...], processes: int) -> None:
    """Run ``function(*arguments)`` in ``processes`` processes and wait; in this one if that is 1.

    A thread with an event loop, as a notebook has, cannot run another: there one process is a new one.

    Under ``torchrun`` the processes exist already and only join. Requests to stop are sent on to the children.

    Raises:
      AgentrlError: what a process raised on purpose.
      RuntimeError: with the traceback of the process that failed first otherwise.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        _join(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), "env://", function, arguments)
    elif processes == 1 and not _has_event_loop():
        function(*arguments)
    else:
        _spawn(function, arguments, processes)


def _has_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _spawn(function: Callable[..., None], arguments: tuple[Any, ...], processes: int) -> None:
    """Start the processes, pass interrupts on, wait, and raise what one of them raised."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    errors = torch.multiprocessing.get_context("spawn").SimpleQueue()
    interrupts = 0

    def pass_on(signum: int, frame: Any) -> None:
        nonlocal interrupts
        interrupts += 1
        for process in children.processes:
            if process.is_alive():
                os.kill(process.pid, signal.SIGINT)

    before = {signum: signal.signal(signum, signal.SIG_IGN) for signum in SIGNALS}
    try:
        children = torch.multiprocessing.spawn(  # type: ignore[attr-defined, no-untyped-call]
            _child, (processes, address, function, arguments, errors), nprocs=processes, join=False
        )
        for signum in SIGNALS:
            signal.signal(signum, pass_on)
        while not children.join(grace_period=GRACE_S):
            pass
    except ProcessException as error:
        if interrupts > 1:
            raise KeyboardInterrupt from None
        if isinstance(error, ProcessExitedException) and error.signal_name is not None:
            raise RuntimeError(
                f"process {error.error_index} was ended by {error.signal_name}, which the system sends when memory is "
                "short, or somebody did"
            ) from None
        if not errors.empty():
            raise errors.get() from None
        raise
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _child(
    index: int, processes: int, address: str, function: Callable[..., None], arguments: tuple[Any, ...], errors: Any
) -> None:
    """Join from a group of its own, which the terminal does not interrupt: the parent does, once."""
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def report(*own: Any) -> None:
        # Before the group is left, so that the cause comes before its consequences elsewhere.
        try:
            function(*own)
        except Exception as error:
            known = isinstance(error, AgentrlError)
            errors.put(error if known else RuntimeError(f"process {index} failed:\n{traceback.format_exc()}"))
            raise

    _join(index, processes, address, report, arguments)


def _join(index: int, processes: int, address: str, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Enter the process group, run, leave. One thread each: processes scale better than threads."""
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // processes))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(
        backend, init_method=address, rank=index, world_size=processes, timeout=timedelta(minutes=30)
    )
    if torch.cuda.is_available():
        torch.cuda.set_device(distributed.device())
    try:
        function(*arguments)
    finally:
        if dist.is_initialized():  # vLLM, where it is closed, takes the group down with it
            dist.destroy_process_group()
