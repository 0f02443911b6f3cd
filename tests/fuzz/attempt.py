"""Running the command line on anything, and judging how it ended."""

import contextlib
import io
import os
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from agentrl.cli import main
from agentrl.errors import AgentrlError


@dataclass
class Tally:
    """How attempts ended, and those that ended in a way that none may."""

    ends: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    def add(self, end: str, case: str) -> None:
        """Count an attempt; ``end`` begins with "fault" where it is one."""
        kind = end.partition(":")[0]
        self.ends[kind] += 1
        if kind == "fault":
            self.faults.setdefault(end, case)

    def __str__(self) -> str:
        return ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.ends.items()))


def command(*arguments: str) -> str:
    """Run ``agentrl`` in this process and say how it ended: "ran", "refused", "stopped", or a fault and which.

    A refusal is exit code 2 and one line on standard error; or, for arguments of the wrong form, the usage.
    """
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            main(list(arguments))
    except SystemExit as ended:
        said = err.getvalue()
        if ended.code in (0, None):
            return "ran"
        if ended.code == 130:
            return "stopped"
        is_line = said.startswith("agentrl: ") and said.count("\n") == 1 and len(said) < 4000
        if ended.code == 2 and (is_line or "Usage:" in said):
            return "refused"
        return f"fault: exit code {ended.code} and {said[:500]!r}"
    except KeyboardInterrupt:
        return "stopped"
    except BaseException as error:
        return _fault(error)
    return "ran"


def call(function: Callable[[], object]) -> str:
    """Call a function of the library and say how it ended: errors are the project's own, in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function()
    except AgentrlError as error:
        return "refused" if str(error) and "\n" not in str(error) else f"fault: of several lines: {error}"
    except Exception as error:
        return _fault(error)
    return "ran"


def _fault(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{os.sep}agentrl" in frame.filename] or frames
    where = f"{os.path.basename(own[-1].filename)}:{own[-1].lineno}"
    return f"fault: {type(error).__name__} at {where}: {' '.join(str(error).split())[:200]}"
