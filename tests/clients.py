"""The accounts' clients of a test's process, which outlive the accounts they were made for."""

from accounts import egress


def forget_clients() -> None:
    """Close the accounts' clients and know none, as a process that has just started."""
    egress._shut_down()
    egress._forget()
