import gc

from django.apps import AppConfig


class ControlPlaneConfig(AppConfig):
    """The composition root: wires subscribers and recorders once all apps are loaded."""

    name = "controlplane"

    def ready(self) -> None:
        from controlplane import wiring

        wiring.connect()
        gc.enable()  # a command line starts without
