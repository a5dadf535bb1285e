"""A credential is nowhere to be found: logs, tracebacks, the queue's tables, job records."""

import io
import logging
import pickle
import re
from base64 import b64decode
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from controlplane.base import jobs
from controlplane.base.logs import RedactingFilter
from controlplane.kernel.errors import ControlPlaneError
from controlplane.kernel.secrets import Secret
from monitoring.models import JobRun
from tests import factories

CANARY = "cAnaRy0123456789abcdefGHIJKL"
LEAKS = (
    f"GET /fapi/v1/order?symbol=BTCUSDT&signature={CANARY}",
    f"https://x/ws?listenKey={CANARY}",
    f'{{"apiKey": "{CANARY}"}}',
    f"{{'X-MBX-APIKEY': '{CANARY}'}}",
    f"Authorization: Token {CANARY}",
    f"Proxy-Authorization: Basic {CANARY}",
    f"http://user:{CANARY}@10.0.0.1:3128",
    f"postgresql://owner:{CANARY}@db/name",
    f"secret={CANARY}",
    f"password: {CANARY}",
    f"passphrase={CANARY}",
)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    handler.addFilter(RedactingFilter())
    logger = logging.getLogger("canary")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


@pytest.mark.parametrize("leak", LEAKS)
def test_log_masks_messages_arguments_and_tracebacks(log: io.StringIO, leak: str) -> None:
    logger = logging.getLogger("canary")
    logger.warning(leak.replace("%", "%%"))
    logger.warning("sent %s and %r", leak, {"request": leak})
    logger.warning("held %s %r", Secret(CANARY), Secret(CANARY))
    try:
        raise RuntimeError(leak)
    except RuntimeError:
        logger.exception("broke")
    written = log.getvalue()
    assert CANARY not in written
    assert "RuntimeError" in written
    assert len(written.splitlines()) >= 6


def test_secret_shows_itself_in_no_form() -> None:
    secret = Secret(CANARY)
    assert CANARY not in f"{secret} {secret!r} {[secret]} { {secret: secret} }"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@jobs.job(name="test.leak")
class Leak(jobs.JobRunner):
    """Breaks with a credential in its error, as a library might."""

    def run(self, **ids: str) -> None:
        if ids["how"] == "expected":
            raise ControlPlaneError(f"refused: signature={CANARY}")
        raise RuntimeError(f"GET /order?signature={CANARY} with {Secret(CANARY)!r}")


@pytest.mark.django_db
@pytest.mark.parametrize(("how", "status"), [("expected", "failed"), ("bug", "errored")])
def test_broken_job_leaves_no_credential_in_any_table(how: str, status: str) -> None:
    account = factories.account(api_secret=CANARY)
    jobs.enqueue(Leak, how=how, account_id=account.pk)
    packed = OrmQ.objects.get()
    jobs.execute("test.leak", {"how": how, "account_id": account.pk})
    run = JobRun.objects.get()
    assert (run.status, CANARY in run.error) == (status, False)
    assert "signature=[secret]" in run.error
    assert Task.objects.count() == 0
    assert CANARY not in packed.payload
    for part in re.findall(r"[A-Za-z0-9_-]{24,}", packed.payload):
        padded = part + "=" * (-len(part) % 4)
        assert CANARY.encode() not in b64decode(padded, altchars=b"-_")
    assert CANARY not in everything_stored()


def everything_stored() -> str:
    """Return every row of every table as text."""
    texts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')  # noqa: S608 - our own tables
            texts += [row[0] for row in cursor.fetchall()]
    return "\n".join(texts)


@pytest.mark.django_db
def test_queue_tables_have_no_pages(admin_client: Client) -> None:
    for model in (Schedule, Success, Failure, OrmQ):
        assert not admin.site.is_registered(model)
        path = f"/admin/django_q/{model._meta.model_name}/"
        assert admin_client.get(path).status_code == 404
