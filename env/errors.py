"""The error that a user of the environments can act on."""

from reverie.model.errors import ReverieError


class EnvError(ReverieError, ValueError):
    """An option, task, action space or action that an environment does not know or cannot use."""
