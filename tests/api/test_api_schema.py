"""The OpenAPI schema: complete, without warnings, with stable names, shown under our policy."""

import re
from io import StringIO

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from controlplane.api_urls import router
from controlplane.settings.api import ENUMERATIONS

PROMISED = """accounts risk-envelopes proxy-profiles proxy-sessions stop-loss-configs sync-jobs
positions market-feeds instruments funding-rates synth-prices strategy-modules allocations
risk-limits order-intents hedge-executions fills reconciliation-breaks books monitoring-events
alerts venues quotes feed-traffic account-states equity-samples alert-routes job-runs audit
funding-payments transfers quarantined-answers unknown-closures resolution-steps emergency-stops
stopped-accounts hedge-throttles hedge-dust stop-rules"""


def test_schema_is_valid_and_without_warnings() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_every_promised_route_exists() -> None:
    assert {prefix for prefix, _view, _name in router.registry} == set(PROMISED.split())


def test_enumerations_keep_their_names_and_values() -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    components = schema["components"]["schemas"]
    for enumeration in ENUMERATIONS:
        assert components[enumeration.__name__]["enum"] == [str(member) for member in enumeration]
    assert [name for name in components if name.endswith("Enum")] == ["BookStateEnum"]


def test_verbs_ask_for_a_reason() -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    verbs = {
        path.rpartition("/")[0].rpartition("/")[2]: operations["post"]["requestBody"]
        for path, operations in schema["paths"].items()
        if "}/" in path and "post" in operations
    }
    assert set(verbs) == {
        "pause", "resume", "sync", "reroute", "rotate", "fail", "check", "enable", "disable",
        "acknowledge", "hedge", "failover", "failback", "take", "accept", "propose_close",
        "confirm_close", "release",
    }  # fmt: skip
    for body in verbs.values():
        reference = body["content"]["application/json"]["schema"]["$ref"]
        assert reference == "#/components/schemas/ReasonRequest"


def test_every_field_of_every_entity_is_described() -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    for name, component in schema["components"]["schemas"].items():
        if name.startswith(("Paginated", "BookPage", "Credentials", "Token")):
            continue
        for field, said in component.get("properties", {}).items():
            assert said.get("description"), (name, field)


def test_schema_is_served_to_the_signed_in_only(api: APIClient) -> None:
    answer = api.get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.json()["openapi"] == "3.1.0"
    assert APIClient().get("/api/v1/schema/").status_code == 401


def test_docs_page_runs_under_the_content_policy(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    answer = client.get("/api/v1/docs/")
    page = answer.content.decode()
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert scripts
    for attributes, inline in scripts:
        (source,) = re.findall(r'src="([^"]+)"', attributes)
        assert source.startswith("/")
        assert not inline.strip()
        served = client.get(source.replace("&amp;", "&"))
        assert served.status_code == 200, source
        assert "javascript" in served.headers["Content-Type"]
