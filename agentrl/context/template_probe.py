"""A chat template is a program of whoever made the tokenizer: it is tried in a process that is cut off at a limit."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from agentrl.errors import DataError

MOST_SECONDS, MOST_BYTES, MOST_LETTERS = 5, 1 << 30, 1_000_000
"""What rendering a few short messages may take: processor time, memory beyond that of the libraries, and text.
Templates in use take milliseconds."""
_PATIENCE_S = 300
_LONG, _LARGE = 3, 4  # exit codes

_CHILD = f"""
import json, resource, sys
given = json.load(sys.stdin)
sys.path[:] = given["path"]
from transformers.utils.chat_template_utils import render_jinja_template
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + {MOST_BYTES},) * 2)
used = resource.getrusage(resource.RUSAGE_SELF)
resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + {MOST_SECONDS},) * 2)
for messages in given["conversations"]:
    try:
        said = render_jinja_template([messages], chat_template=given["template"], add_generation_prompt=True,
                                     **given["tokens"])[0][0]
    except MemoryError:
        sys.exit({_LARGE})
    except Exception:
        continue
    if len(said) > {MOST_LETTERS}:
        sys.exit({_LONG})
"""


def check_template(tokenizer: Any) -> None:
    """Check that a tokenizer's chat template ends by itself, soon. What it renders is not looked at.

    Raises:
      DataError: it takes longer, or more memory or text, than the limits; or it could not be tried.
    """
    try:
        template = tokenizer.get_chat_template()
    except Exception as error:
        raise DataError(f"the tokenizer has no chat template for conversations: {error}") from error
    _check(str(template), json.dumps(_plain(tokenizer.special_tokens_map), sort_keys=True))


@lru_cache(maxsize=64)
def _check(template: str, tokens: str) -> None:
    roles = ("system", *("user", "assistant") * 3)
    whole = [{"role": role, "content": f"message {place}"} for place, role in enumerate(roles[:-1])]
    conversations = [whole, whole[1:], whole[:2], whole[1:2]]
    given = {"path": sys.path, "template": template, "tokens": json.loads(tokens), "conversations": conversations}
    command = [sys.executable, "-P", "-c", _CHILD]
    try:
        done = subprocess.run(
            command, input=json.dumps(given), capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        code = done.returncode
    except subprocess.TimeoutExpired:
        code = -signal.SIGXCPU
    if code:
        raise DataError(f"the chat template {_reason(code)}: give the tokenizer another chat_template and save it")


def _reason(code: int) -> str:
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"was cut off after {MOST_SECONDS} s of rendering a few short messages"
    if code in (_LARGE, -signal.SIGSEGV):
        return f"needs more than {MOST_BYTES >> 20} MiB to render a few short messages"
    if code == _LONG:
        return f"renders a few short messages as more than {MOST_LETTERS:,} letters"
    return f"could not be tried in another process (exit code {code})"


def _plain(tokens: Mapping[str, Any]) -> dict[str, Any]:
    """Return special tokens as text: some are objects."""
    return {
        name: [str(one) for one in token] if isinstance(token, (list, tuple)) else str(token)
        for name, token in tokens.items()
    }
