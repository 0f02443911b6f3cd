"""Registration of text environments in Gymnasium's own registry.

It imports nothing else of agentrl: Gymnasium calls plug-ins while it is itself being imported.
"""

from typing import Any

from gymnasium.envs import registration

_REGISTERED: set[str] = set()


def register(env_id: str, entry_point: str, **kwargs: Any) -> None:
    """Register a text environment, without the wrappers that ``TextEnv`` makes needless.

    Call it from the function that your package names in the entry-point group ``gymnasium.envs``.

    Args:
      env_id: name and version, ``Maze-v0``; Gymnasium prefixes the name of the entry point as namespace.
      entry_point: ``module:Class``, imported at the first ``gymnasium.make``.
      kwargs: default arguments of the class.
    """
    before = set(registration.registry)
    registration.register(env_id, entry_point=entry_point, order_enforce=False, disable_env_checker=True, kwargs=kwargs)
    _REGISTERED.update(set(registration.registry) - before)


def registered() -> list[str]:
    """Return the ids of all text environments in Gymnasium's registry, sorted."""
    return sorted(_REGISTERED & set(registration.registry))
