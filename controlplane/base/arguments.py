"""Types of command-line arguments; a wrong one ends the command with code 2 and says why."""

from argparse import ArgumentTypeError


def port(text: str) -> int:
    """Return a TCP port, 0 for any free one."""
    return _within(text, 0, 65535)


def positive(text: str) -> int:
    """Return a whole number above zero."""
    return _within(text, 1, 10**9)


def _within(text: str, low: int, high: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
    return number
