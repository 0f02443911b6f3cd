"""Playing episodes: groups, single episodes, many at once, and scripted demonstrations."""

from agentrl.rollout.demonstrations import demonstrate as demonstrate
from agentrl.rollout.demonstrations import demonstration_tasks as demonstration_tasks
from agentrl.rollout.episode import play_episode as play_episode
from agentrl.rollout.fallible import Errors as Errors
from agentrl.rollout.fallible import FallibleExpert as FallibleExpert
from agentrl.rollout.group import EpisodeSpec as EpisodeSpec
from agentrl.rollout.group import group_specs as group_specs
from agentrl.rollout.limits import Limits as Limits
from agentrl.rollout.record import anchor_digest as anchor_digest
from agentrl.rollout.result import RolloutResult as RolloutResult
from agentrl.rollout.roll_in import RollIn as RollIn
from agentrl.rollout.scheduler import Rollout as Rollout
