"""Worlds and data that were made for others: Gymnasium environments over text, and tasks from files."""

from agentrl.adapters.file_tasks import FileTasks as FileTasks
from agentrl.adapters.gymnasium_env import GymnasiumEnv as GymnasiumEnv
from agentrl.adapters.gymnasium_env import from_gymnasium as from_gymnasium
