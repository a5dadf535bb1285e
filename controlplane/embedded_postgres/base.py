"""Django database backend: PostgreSQL on the embedded server, started when first needed."""

from pathlib import Path
from typing import Any

from django.db.backends.postgresql import base

from controlplane.embedded_postgres import DATABASE_NAME, server


class DatabaseWrapper(base.DatabaseWrapper):
    """Connects to the embedded server and starts it first when it does not run."""

    def get_connection_params(self) -> dict[str, Any]:
        parameters = super().get_connection_params()
        socket_dir = server.running(
            Path(self.settings_dict["DATA_DIR"]),
            DATABASE_NAME,
            durable=self.settings_dict["DURABLE"],
        )
        return {**parameters, "host": str(socket_dir)}
