"""Text environments in Gymnasium's own registry, and the plug-ins that put them there.

Gymnasium 1.x imports no plug-ins by itself: importing `agentrl` does it, through the entry-point group
``gymnasium.envs``, whose entries name modules that register their environments when imported.
"""

import importlib.metadata
import warnings
from typing import Any

from gymnasium.envs import registration

_REGISTERED: set[str] = set()


def register(env_id: str, entry_point: str, **kwargs: Any) -> None:
    """Register a text environment, without the wrappers that ``TextEnv`` makes needless. Again is a no-op.

    Args:
      env_id: namespace, name and version: ``mine/Maze-v0``.
      entry_point: ``module:Class``, imported at the first ``gymnasium.make``.
      kwargs: default arguments of the class.
    """
    if env_id not in _REGISTERED or env_id not in registration.registry:
        registration.register(
            env_id, entry_point=entry_point, order_enforce=False, disable_env_checker=True, kwargs=kwargs
        )
        _REGISTERED.add(env_id)


def registered() -> list[str]:
    """Return the ids of all text environments in Gymnasium's registry, sorted."""
    return sorted(_REGISTERED & set(registration.registry))


def load_plugins() -> None:
    """Import the modules named in the entry-point group ``gymnasium.envs``; a broken one is a warning."""
    for plugin in importlib.metadata.entry_points(group="gymnasium.envs"):
        try:
            plugin.load()
        except Exception as error:  # a third party's fault must not break `import agentrl`
            warnings.warn(f"environment plug-in {plugin.name} ({plugin.value}) failed: {error!r}", stacklevel=2)
