"""Django settings, in parts by topic."""

from controlplane.settings.api import *  # noqa: F403 - a settings part is a namespace of names
from controlplane.settings.core import *  # noqa: F403
from controlplane.settings.queue import *  # noqa: F403
from controlplane.settings.security import *  # noqa: F403
from controlplane.settings.theme import *  # noqa: F403
