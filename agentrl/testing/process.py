"""Calls in another Python process, with another hash seed."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from agentrl.errors import ConfigError

Result = TypeVar("Result")

_CHILD = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
function, args = pickle.load(sys.stdin.buffer)
result = pickle.dumps(function(*args))
sys.stdout.buffer.write(b"\\n--result--" + result)
"""


def elsewhere(function: Callable[..., Result], *args: Any) -> Result:
    """Return ``function(*args)`` as computed by a new process in which strings hash differently.

    Raises:
      ConfigError: the function or an argument cannot be pickled.
      ChildProcessError: the call failed there; the message ends with its traceback.
    """
    try:
        call = pickle.dumps(list(sys.path)) + pickle.dumps((function, args))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"cannot be sent to another process ({error}): give a factory that can be pickled, such as "
            "functools.partial(agentrl.make, 'mine/Env-v0') or a function at the top of a module"
        ) from error
    hash_seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _CHILD], input=call, capture_output=True, env=environ, check=False
    )
    if done.returncode:
        raise ChildProcessError(f"failed in another process:\n{done.stderr.decode(errors='replace')}")
    result: Result = pickle.loads(done.stdout.split(b"\n--result--", 1)[1])
    return result
