"""The two generations of ALFWorld's language: same world, a few other words."""

from dataclasses import dataclass

from agentrl.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class Dialect:
    """Templates of the commands and texts that differ between generations.

    ``{o}`` is an object, ``{r}`` a receptacle, ``{l}`` a location.
    """

    put: str
    """The command that puts an object down."""
    did_put: str
    did_take: str
    arrived: str
    help_put: str
    """The line of the help text for `put`."""

    @property
    def help(self) -> str:
        """The answer to ``help``, character by character as in the games."""
        return _HELP.replace("@", self.help_put)


_HELP = """\
Available commands:
  look:                             look around your current location
  inventory:                        check your current inventory
  go to (receptacle):               move to a receptacle
  open (receptacle):                open a receptacle
  close (receptacle):               close a receptacle
  take (object) from (receptacle):  take an object from a receptacle
  @
  examine (something):              examine a receptacle or an object
  use (object):                     use an object
  heat (object) with (receptacle):  heat an object using a receptacle
  clean (object) with (receptacle): clean an object using a receptacle
  cool (object) with (receptacle):  cool an object using a receptacle
  slice (object) with (object):     slice an object using a sharp object
"""

CURRENT = Dialect(
    put="move {o} to {r}",
    did_put="You move the {o} to the {r}.",
    did_take="You pick up the {o} from the {r}.",
    arrived="You arrive at {r}.",
    help_put="move (object) to (receptacle):  place an object in or on a receptacle",
)
"""ALFWorld 0.4, and the games as they are distributed today."""

CLASSIC = Dialect(
    put="put {o} in/on {r}",
    did_put="You put the {o} in/on the {r}.",
    did_take="You take the {o} from the {r}.",
    arrived="You arrive at {l}.",
    help_put="put (object) in/on (receptacle):  place an object in or on a receptacle",
)
"""Earlier releases, in which the prompts of many papers are written (as in ReAct, arXiv:2210.03629)."""

DIALECTS = {"current": CURRENT, "classic": CLASSIC}


def find_dialect(name: str) -> Dialect:
    """Return the dialect called ``name``.

    Raises:
      ConfigError: there is none; the message names the nearest.
    """
    try:
        return DIALECTS[name]
    except KeyError:
        raise ConfigError(f"no dialect {name!r}{nearest(name, DIALECTS)}") from None
