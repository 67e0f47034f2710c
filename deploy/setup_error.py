"""What stops the grid from starting at all, told in one sentence a person can act on."""


class SetupError(Exception):
    """The machine, a folder, a port or a setting does not allow the grid to start (exit status 3)."""
