#!/usr/bin/env python
"""Command line of the control plane."""

import gc
import os
import sys


def main() -> None:
    gc.disable()  # what a start imports stays; the product's app enables it when all is loaded
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    from django.core.management import execute_from_command_line
    from django.db import ProgrammingError
    from psycopg.errors import UndefinedColumn, UndefinedTable

    try:
        execute_from_command_line(sys.argv)
    except ProgrammingError as error:
        if not isinstance(error.__cause__, UndefinedColumn | UndefinedTable):
            raise
        sys.exit(
            f"The database is not what this version needs: {str(error).splitlines()[0]}.\n"
            "Run manage.py migrate first."
        )


if __name__ == "__main__":
    main()
