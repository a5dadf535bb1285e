#!/usr/bin/env python
"""Command line of the control plane."""

import gc
import os
import sys


def main() -> None:
    gc.disable()  # what a start imports stays; the product's app enables it when all is loaded
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
