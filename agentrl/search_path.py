"""Where modules are looked for: the current folder comes last, and only where it is asked for.

A file that happens to be called ``torch.py`` must not run in the place of an installed package.
"""

import os
import sys
from itertools import pairwise


def add_current_folder() -> None:
    """Look into the current folder too, after everything that is installed."""
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())


def demote_current_folder() -> None:
    """Under ``python -m agentrl``, which looks into the current folder first, look there last."""
    is_command = any(flag == "-m" and module.split(".")[0] == "agentrl" for flag, module in pairwise(sys.orig_argv))
    if is_command and not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
        sys.path.append(sys.path.pop(0))
