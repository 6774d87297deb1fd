"""Errors that a user can act on. Their text is one line, fit to be shown as it stands."""

from reverie.model.errors import ReverieError


class SceneError(ReverieError):
    """A start scene that does not exist or cannot be read."""


class ClipError(ReverieError):
    """A recording that is damaged, or cannot be written."""


class OutputError(ReverieError):
    """An output that cannot be written, or would replace an input."""


class SaveError(ReverieError):
    """A `.reverie` file that is damaged, or does not fit the world it is opened in."""


class EditError(ReverieError):
    """An edit whose image or mask cannot be used."""
