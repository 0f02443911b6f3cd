"""Kill, starve and damage a small run, and see that nothing is lost unsaid and that its numbers stay the same.

    python benchmarks/survival.py --kills 100

- **Kills**: SIGKILL just before a file operation (open, rename, remove, make, all of them in turn), in the middle of a
  line of metrics, or at any moment; then --resume, which may be killed again, up to twice, before one is let through.
- **Full disks**: an operation fails with "No space left on device", a line of metrics ends in its middle, or no file
  may grow beyond a size, so that a checkpoint stops half written; then --resume.
- **Damage** to each file of the newest checkpoint (a flipped bit, half of it, nothing of it, no file), which must be
  refused, and gone on from the one before; and to the metrics, which must be mended.

The run has every stage: warm start, reinforcement with a reference policy, supervised control, report. Each start is a
fork of this process. The last line is JSON.
"""

import argparse
import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a process that computes with threads cannot be forked

import numpy as np
from safetensors.torch import load_file

from agentrl import seeding
from agentrl.errors import AgentrlError
from agentrl.storage import files
from agentrl.trainer.config import Config, parse_config
from agentrl.trainer.directory import metrics, opening, report  # noqa: F401  loaded before the forks
from agentrl.trainer.directory.checkpoint import checkpoints
from agentrl.trainer.directory.metrics import ASIDE, NAME, read_metrics
from agentrl.trainer.loop import run_training

Fault = Callable[[Path], None]
OPERATIONS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")


def config(directory: Path) -> Config:
    """Return the configuration of the run."""
    return parse_config(
        {
            "env": {"id": "agentrl/Maze-v0", "kwargs": {"size": 2, "max_turns": 6}},
            "policy": {
                "build": {
                    "hidden_size": 32,
                    "num_layers": 2,
                    "num_heads": 2,
                    "vocab_size": 400,
                    "tokenizer_episodes": 20,
                }
            },
            "context": {"max_turn_tokens": 6, "max_context": 192},
            "warm_start": {
                "demonstrations": 40,
                "steps": 30,
                "control_steps": 20,
                "batch_tokens": 1024,
                "lr": 1e-2,
                "optimizer": "muon",
            },
            "algorithm": {"name": "spo"},
            "curriculum": {"name": "spo"},
            "loss": {"kl_coef": 0.1},
            "rollout": {"tasks_per_iteration": 4, "group_size": 2, "concurrency": 16},
            "update": {"minibatches": 2},
            "eval": {"tasks": 4, "every": 2},
            "run": {
                "directory": str(directory),
                "iterations": 4,
                "processes": 1,
                "checkpoint_every": 1,
                "save_trajectories_every": 1,
            },
        }
    )


def start(
    directory: Path, fault: Fault | None = None, kill_after_s: float | None = None, **how: Any
) -> tuple[int, str]:
    """Run in a fork, with a fault; return exit code (negative: the signal) and what was said."""
    said = directory.with_name(f"{directory.name}.said")
    pid = os.fork()
    if pid == 0:
        code = 1
        with said.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            try:
                if fault is not None:
                    fault(directory)
                code = run_training(config(directory), **how)
            except AgentrlError as error:
                print(f"agentrl: {error}")
                code = 2
            except BaseException as error:
                print(f"not ours: {type(error).__name__}: {error}")
        os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), said.read_text()


def at_operation(number: int, action: Callable[[], None]) -> Fault:
    """Do something just before the file operation of that number in the run's directory."""

    def install(directory: Path) -> None:
        seen = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if _touches(event, arguments, directory):
                seen += 1
                if seen == number + 1:
                    action()

        sys.addaudithook(hook)

    return install


def _touches(event: str, arguments: tuple[Any, ...], directory: Path) -> bool:
    if event not in OPERATIONS or not str(arguments[0]).startswith(str(directory)):
        return False
    return event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))


def in_a_line(number: int, action: Callable[[], None]) -> Fault:
    """Write half of the metrics line of that number, and then do something."""

    def install(directory: Path) -> None:
        whole, seen = files.append_line, 0

        def append_line(path: Path, line: str) -> None:
            nonlocal seen
            seen += 1
            if seen == number + 1:
                with path.open("a") as file:
                    file.write(line[: len(line) // 2])
                action()
            whole(path, line)

        metrics.append_line = append_line  # type: ignore[attr-defined]

    return install


def no_file_beyond(size: int) -> Fault:
    """Let no file grow beyond ``size`` bytes."""

    def install(directory: Path) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return install


def die() -> None:
    """End as a power failure does."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk() -> None:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, "No space left on device")


def operations(directory: Path) -> Counter[str]:
    """Return how many file operations a whole run makes, by what is touched."""
    log = directory.with_name("operations")

    def install(directory: Path) -> None:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if _touches(event, arguments, directory):
                place = Path(str(arguments[0])).relative_to(directory).parts
                os.write(file, f"{place[0] if place else '.'}\n".encode())

        sys.addaudithook(hook)

    code, said = start(directory, install)
    assert code == 0, said
    return Counter(log.read_text().split())


def lines_of(directory: Path) -> set[bytes]:
    """Return the whole lines of metrics that are on the disk."""
    found: set[bytes] = set()
    for name in (NAME, ASIDE):
        if (directory / name).exists():
            found |= {line for line in (directory / name).read_bytes().splitlines() if line.endswith(b"}")}
    return found


def numbers(directory: Path) -> list[dict[str, Any]]:
    """Return the metrics without what the clock decides."""
    return [
        {key: value for key, value in record.items() if not key.endswith("_s")} for record in read_metrics(directory)
    ]


class Suite:
    """Counts what goes wrong.

    Args:
      scratch: where runs go.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.whole = scratch, scratch / "whole"
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []

    def check(self, directory: Path, seen: set[bytes], case: str) -> None:
        """Compare a run that ended with the whole one, and see that every line of metrics is still somewhere."""
        if numbers(directory) != numbers(self.whole):
            self._wrong("runs_unequal", f"{case}: metrics differ")
        ours, theirs = (load_file(run / "policy" / "model.safetensors") for run in (directory, self.whole))
        if not all(value.equal(theirs[name]) for name, value in ours.items()):
            self._wrong("runs_unequal", f"{case}: weights differ")
        for path in sorted((self.whole / "trajectories").glob("*.zip")):
            other = directory / "trajectories" / path.name
            if not other.exists() or other.read_bytes() != path.read_bytes():
                self._wrong("trajectories_lost", f"{case}: {path.name}")
        lost = seen - lines_of(directory)
        if lost:
            self._wrong("rows_lost_unsaid", f"{case}: {len(lost)} rows")
        trained = Counter(row["index"] for row in read_metrics(directory) if row["stage"] == "reinforce")
        if any(count > 1 for count in trained.values()):
            self._wrong("trained_twice", case)
        if list(directory.rglob("*.partial")) or list(directory.rglob("*.stale")):
            self._wrong("left_over", case)
        self.counts["chains"] += 1
        shutil.rmtree(directory)

    def begin_or_resume(self, directory: Path, fault: Fault | None, **how: Any) -> tuple[int, str]:
        """Start as a user would: resume where there is a checkpoint, else anew."""
        if checkpoints(directory / "checkpoints") or list((directory / "checkpoints").glob(".*.stale")):
            return start(directory, fault, resume=True, **how)
        return start(directory, fault, fresh=True, **how)

    def finish(self, directory: Path, case: str, seen: set[bytes]) -> None:
        """Let a run through to its end, and check it."""
        seen |= lines_of(directory)
        if not checkpoints(directory / "checkpoints"):
            seen = set()  # it begins anew, and the old one is moved aside as it is
        code, said = self.begin_or_resume(directory, None)
        if code != 0:
            self._wrong("not_resumed", f"{case}: {said[-300:]}")
        else:
            self.check(directory, seen, case)
        for aside in directory.parent.glob(f"{directory.name}.old-*"):
            shutil.rmtree(aside)

    def _wrong(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        self.problems.append(f"{kind}: {what}")
        print(f"  PROBLEM {kind}: {what}", flush=True)

    def kill(self, number: int, total: int, lines: int, seconds: float, rng: np.random.Generator) -> None:
        """Kill a run up to three times, and let it through."""
        directory, seen = self.scratch / f"kill-{number}", set()
        for turn in range(1 + number % 3):
            kind = ("operation", "operation", "line", "moment")[(number + turn) % 4]
            fault, after = None, None
            if kind == "operation":
                share = number / max(1, total) if turn == 0 else rng.random()
                fault = at_operation(int(share * self.counts["operations"]), die)
            elif kind == "line":
                fault = in_a_line(int(rng.integers(lines)), die)
            else:
                after = float(rng.uniform(0.1, seconds))
            code, said = self.begin_or_resume(directory, fault, kill_after_s=after)
            if code == -signal.SIGKILL:
                self.counts[f"kills_{kind}"] += 1
            elif code != 0:
                self._wrong("not_resumed", f"kill {number}: {said[-300:]}")
            if checkpoints(directory / "checkpoints"):
                seen |= lines_of(directory)
        self.finish(directory, f"kill {number}", seen)

    def starve(self, number: int, total: int, lines: int, rng: np.random.Generator) -> None:
        """Fill the disk at some point of a run, and let it through."""
        directory = self.scratch / f"full-{number}"
        faults = (
            at_operation(int(number / total * self.counts["operations"]), fill_disk),
            in_a_line(int(rng.integers(lines)), fill_disk),
            no_file_beyond(int(rng.integers(2_000, 200_000))),
        )
        code, said = start(directory, faults[number % 3])
        self.counts["full_disks"] += code != 0
        if code not in (0, 2) or "not ours" in said:
            self._wrong("not_said_in_a_line", f"full disk {number}: {code} {said[-300:]}")
        self.finish(directory, f"full disk {number}", set())

    def damage(self, path_of: Path, base: Path, how: str, everything: bool) -> None:
        """Damage a file of the newest checkpoint, be refused, and go on from the one before."""
        directory = self.scratch / "damaged"
        shutil.copytree(base, directory)
        damage(directory / path_of, how)
        code, said = start(directory, resume=True)
        self.counts["damages"] += 1
        older = checkpoints(directory / "checkpoints")[-2].name
        if code != 2 or f"--resume-from {older}" not in said or "damaged" not in said:
            self._wrong("damage_believed", f"{path_of} {how}: {code} {said[-300:]}")
        elif everything:
            seen = lines_of(directory)
            code, said = start(directory, resume_from=older)
            if code:
                self._wrong("not_resumed", f"{path_of} {how}: {said[-300:]}")
            else:
                self.check(directory, seen, f"{path_of} {how}")
        shutil.rmtree(directory, ignore_errors=True)

    def damage_metrics(self, base: Path, how: str) -> None:
        """Damage the metrics, and see that they are mended and that it is said."""
        directory = self.scratch / "damaged"
        shutil.copytree(base, directory)
        damage(directory / NAME, how)
        self.counts["damages"] += 1
        code, said = start(directory, resume=True)
        if code or "restored from" not in said:
            self._wrong("damage_believed", f"{NAME} {how}: {code} {said[-300:]}")
        else:
            self.check(directory, set(), f"{NAME} {how}")
        shutil.rmtree(directory, ignore_errors=True)


def damage(path: Path, how: str) -> None:
    """Damage a file: "flip" a bit in its middle, "halve", "empty" or "delete" it."""
    content = bytearray(path.read_bytes())
    if how == "delete":
        path.unlink()
        return
    if how == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[: {"flip": len(content), "halve": len(content) // 2, "empty": 0}[how]])


def main(kills: int, full_disks: int, seed: int) -> dict[str, Any]:
    """Run all of it; return the figures."""
    began, rng = time.monotonic(), seeding.generator(seed, "survival")
    with tempfile.TemporaryDirectory() as scratch:
        suite = Suite(Path(scratch))
        places = operations(suite.whole)
        suite.counts["operations"] = places.total()
        print(f"{places.total()} file operations in a run: {dict(places)}", flush=True)
        lines, before = len(read_metrics(suite.whole)), time.monotonic()
        assert start(suite.scratch / "timed")[0] == 0
        seconds = time.monotonic() - before
        number = 0
        while sum(suite.counts[f"kills_{kind}"] for kind in ("operation", "line", "moment")) < kills:
            suite.kill(number, max(1, kills // 2), lines, seconds, rng)
            number = number + 1
        print(f"kills done after {time.monotonic() - began:.0f} s", flush=True)
        for number in range(full_disks):
            suite.starve(number, full_disks, lines, rng)
        base = suite.scratch / "base"
        start(base, in_a_line(lines - 8, die))
        newest = checkpoints(base / "checkpoints")[-1]
        names = sorted(path.relative_to(base) for path in newest.iterdir())
        for index, name in enumerate(names):
            for how in ("flip", "halve", "empty", "delete"):
                suite.damage(name, base, how, everything=how == "flip" and index % 2 == 0)
        for how in ("flip", "halve", "empty", "delete"):
            suite.damage_metrics(base, how)
    kinds = ("rows_lost_unsaid", "trajectories_lost", "trained_twice", "runs_unequal", "not_resumed")
    wrong = {kind: suite.counts[kind] for kind in (*kinds, "damage_believed", "not_said_in_a_line", "left_over")}
    figures = {key: value for key, value in sorted(suite.counts.items()) if key not in wrong}
    return figures | wrong | {"places": dict(places), "minutes": round((time.monotonic() - began) / 60, 1)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--full-disks", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(json.dumps(main(options.kills, options.full_disks, options.seed)))
