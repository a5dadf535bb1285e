"""Whether this process lives and may be given requests. No detail: anybody may ask."""

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache


@never_cache
async def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while the process serves at all."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
async def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 when the database answers and has every migration, else 503."""
    ready = await sync_to_async(is_ready)()
    return HttpResponse(
        "ok\n" if ready else "not ready\n", status=200 if ready else 503, content_type="text/plain"
    )


def is_ready() -> bool:
    """Tell whether the database answers and has every migration."""
    try:
        return not pending_migrations()
    except DatabaseError:
        return False


def pending_migrations() -> list[str]:
    """Return the migrations the database lacks, as `app.name`."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
