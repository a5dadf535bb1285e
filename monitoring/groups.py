"""Names of the channel groups of this app, built here only."""

from typing import Final

CONSOLE: Final = "console"
"""Members learn which part of the console changed (`console.changed`, topic=…)."""
