"""What is worth training on: filters of groups after the rollout, and weights of tasks before it."""

from agentrl.curriculum.choose import CurriculumName as CurriculumName
from agentrl.curriculum.choose import TaskCurriculum as TaskCurriculum
from agentrl.curriculum.choose import draw_tasks as draw_tasks
from agentrl.curriculum.choose import make_curriculum as make_curriculum
from agentrl.curriculum.filters import DynamicSampling as DynamicSampling
from agentrl.curriculum.filters import GroupFilter as GroupFilter
from agentrl.curriculum.filters import TopVariance as TopVariance
from agentrl.curriculum.filters import keep_groups as keep_groups
from agentrl.curriculum.filters import make_filter as make_filter
from agentrl.curriculum.filters import num_kept as num_kept
from agentrl.curriculum.tasks import Difficulty as Difficulty
from agentrl.curriculum.tasks import HistoryResampling as HistoryResampling
from agentrl.curriculum.tasks import SuccessWeights as SuccessWeights
