"""Errors that a user can act on. Their text is one line, fit to be shown as it stands."""


class ReverieError(Exception):
    """Base of all errors that Reverie raises on purpose; the command line prints them and exits with 2."""


class ModelError(ReverieError):
    """A model that is unknown, damaged, or does not fit the request."""
