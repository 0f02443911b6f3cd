"""Reinforcement learning for language-model agents that act over many turns."""

from agentrl.search_path import demote_current_folder as _demote_current_folder

_demote_current_folder()  # before anything that is not ours is imported

from agentrl.api import evaluate as evaluate
from agentrl.api import load as load
from agentrl.api import train as train
from agentrl.env import Outcome as Outcome
from agentrl.env import Snapshot as Snapshot
from agentrl.env import SnapshotLevel as SnapshotLevel
from agentrl.env import TextEnv as TextEnv
from agentrl.env import TurnResult as TurnResult
from agentrl.env import advance as advance
from agentrl.env import finish as finish
from agentrl.making import make as make
from agentrl.registry import load_plugins as _load_plugins
from agentrl.registry import register as register
from agentrl.tasks import TaskRef as TaskRef
from agentrl.tasks import TaskSet as TaskSet

_load_plugins()
