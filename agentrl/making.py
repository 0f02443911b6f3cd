"""Making an environment from its id, with arguments that are checked before its constructor sees them."""

import copy
import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import pydantic
from gymnasium.envs import registration

from agentrl.env import TextEnv
from agentrl.errors import AgentrlError, ConfigError, describe_fault, nearest
from agentrl.registry import registered
from agentrl.search_path import add_current_folder


def make(env_id: str, /, **kwargs: Any) -> TextEnv:
    """Return the environment of Gymnasium's registry with this id, as ``gymnasium.make(env_id, **kwargs).unwrapped``.

    ``module:id`` imports the module first, which may lie in the current folder. Arguments are checked against the
    annotations of the constructor; those that it does not annotate are its own affair.

    Raises:
      ConfigError: no such environment (the message names the nearest id), an argument that it does not take or of
        another type, it raised while it was made, or it is not a text environment.
    """
    spec = _spec(env_id)
    creator: Callable[..., Any] | None = None
    try:
        creator = _creator(spec.entry_point)
        check_arguments(env_id, creator, kwargs)
        env = creator(**spec.kwargs | kwargs)
    except AgentrlError:
        raise
    except Exception as error:  # an environment may be anybody's
        raise ConfigError(f"{env_id} cannot be made: {describe_fault(error)}{_accepted(error, creator)}") from error
    if not isinstance(env, TextEnv):
        raise ConfigError(f"{env_id!r} makes a {type(env).__name__}, which is not a TextEnv")
    env.spec = copy.copy(spec)
    env.spec.kwargs = spec.kwargs | kwargs
    return env


def import_env(env_id: str) -> None:
    """Import the module of an environment, and with it the action protocols and contexts that it registers.

    Raises:
      ConfigError: no such environment, or its module cannot be imported.
    """
    spec = _spec(env_id)
    try:
        _creator(spec.entry_point)
    except (Exception, SystemExit) as error:  # an environment may be anybody's
        raise ConfigError(f"{env_id} cannot be made: {describe_fault(error)}") from error


def _spec(env_id: str) -> registration.EnvSpec:
    """Return the registry's entry, after importing the module that an id may name."""
    module, _, name = env_id.rpartition(":")
    if module:
        _import(env_id, module)
    spec = registration.registry.get(name)
    if spec is None or spec.entry_point is None:
        raise ConfigError(f"no environment {env_id!r}{nearest(name, registered())}")
    return spec


def check_arguments(what: str, creator: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Check arguments of ``what`` against the names and the types that its constructor, or function, declares.

    A list may stand for a tuple and text for a path, as in YAML; a number is no text, nor the other way.

    Raises:
      ConfigError: names the argument, what was expected and what was given.
    """
    known, is_open = _parameters(creator)
    for name, value in kwargs.items():
        if name not in known and not is_open:
            raise ConfigError(f"{what} takes no argument {name!r}{nearest(str(name), known)}")
        if known.get(name) is not None:
            _check_type(f"{what}: argument {name}", known[name], value)


def _check_type(what: str, annotation: Any, value: Any) -> None:
    try:
        adapter = pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True))
    except Exception:  # an annotation that says nothing to pydantic
        return
    try:
        adapter.validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        if not _fits_as_json(adapter, value):
            first = error.errors(include_url=False, include_context=False)[0]
            raise ConfigError(f"{what}: {first['msg'][0].lower()}{first['msg'][1:]}, got {value!r}") from None


def _fits_as_json(adapter: "pydantic.TypeAdapter[Any]", value: Any) -> bool:
    """Whether the value would be right in a JSON file, which knows neither tuples nor paths."""
    try:
        adapter.validate_json(pydantic.TypeAdapter(Any).dump_json(value), strict=True)
    except (ValueError, RecursionError):  # what cannot be dumped is a ValueError too
        return False
    return True


def _parameters(creator: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """Return the annotation of each named parameter (None for none), and whether the constructor takes any others.

    Where a class hands ``**rest`` on, the parameters of its bases count as well.
    """
    known: dict[str, Any] = {}
    classes: tuple[Any, ...] = inspect.getmro(creator) if inspect.isclass(creator) else (creator,)
    is_open = False
    for one in classes:
        function = vars(one).get("__init__") if inspect.isclass(one) else one
        if function is None:
            continue
        try:
            parameters = inspect.signature(function).parameters.values()
            hints = typing.get_type_hints(function, include_extras=True)
        except Exception:  # built in, or annotated with names that are not there
            return known, True
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]
        known = {p.name: hints.get(p.name) for p in named} | known
        has_rest = any(p.kind is p.VAR_KEYWORD for p in parameters)
        is_open = is_open or has_rest
        if not has_rest or one is TextEnv:
            break
    return known, is_open


def _creator(entry_point: Any) -> Callable[..., Any]:
    """Return what makes the environment."""
    creator: Callable[..., Any] = (
        registration.load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    )
    return creator


def _accepted(error: Exception, creator: Callable[..., Any] | None) -> str:
    """Return which arguments there are, after an error about one that is unknown."""
    if creator is not None and isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
        return f"; it takes {', '.join(sorted(_parameters(creator)[0]))}"
    return ""


def _import(env_id: str, module: str) -> None:
    add_current_folder()
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{env_id}: cannot import {module}: {describe_fault(error)}") from error
