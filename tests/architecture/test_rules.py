"""The code keeps its own rules. (`make lint` holds the directions of imports.)"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import get_commands

from controlplane.base import jobs

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ("markets", "accounts", "strategies", "hedging", "monitoring")
PURE = ("controlplane/kernel", "markets/venues", *(f"{app}/domain" for app in APPS))
# What people configure or decide: every change of it has to leave a trace.
CONFIGURATION = frozenset(
    {
        "markets.Venue",
        "markets.Instrument",
        "markets.MarketDataFeed",
        "accounts.AllowedVenue",
        "accounts.ProxyProfile",
        "accounts.ProxySession",
        "accounts.StopLossConfig",
        "accounts.ExchangeAccount",
        "accounts.RiskEnvelope",
        "strategies.StrategyModule",
        "strategies.AccountAllocation",
        "strategies.RiskLimit",
        "strategies.UnknownClosure",
        "hedging.EmergencyStop",
        "hedging.HedgeThrottle",
        "hedging.StopRule",
        "monitoring.AlertRoute",
    }
)
# What machines write: its history is itself.
RECORDS = frozenset(
    {
        "markets.Quote",
        "markets.FeedTraffic",
        "markets.SynthPriceSnapshot",
        "markets.FundingRate",
        "markets.StreamHolder",
        "markets.StreamLease",
        "markets.VenueBan",
        "accounts.AccountSyncJob",
        "accounts.AccountState",
        "accounts.Position",
        "accounts.EquitySample",
        "accounts.FundingPayment",
        "accounts.Transfer",
        "strategies.OrderIntent",
        "strategies.QuarantinedAnswer",
        "hedging.HedgeDust",
        "hedging.HedgeExecution",
        "hedging.Fill",
        "hedging.ReconciliationBreak",
        "hedging.ResolutionStep",
        "hedging.StoppedAccount",
        "monitoring.MonitoringEvent",
        "monitoring.Alert",
        "monitoring.JobRun",
        "monitoring.ClusterPulse",
        "monitoring.RecordMark",
    }
)


def pure_files() -> list[Path]:
    return [path for place in PURE for path in sorted((ROOT / place).rglob("*.py"))]


def float_calls_and_literals(tree: ast.AST) -> Iterator[int]:
    """Yield lines where a float is made from something that may be an amount."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "float":
                yield node.lineno
            for keyword in node.keywords:
                value = keyword.value
                is_float = isinstance(value, ast.Name) and value.id == "float"
                if keyword.arg == "parse_float" and is_float:
                    yield node.lineno


@pytest.mark.parametrize("path", pure_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_code_makes_no_float(path: Path) -> None:
    assert list(float_calls_and_literals(ast.parse(path.read_text()))) == []


def own_commands() -> list[str]:
    return sorted(
        name
        for name, app in get_commands().items()
        if isinstance(app, str) and app.split(".")[0] in {"controlplane", *APPS}
    )


def all_tests() -> str:
    this = Path(__file__)
    paths = (path for path in (ROOT / "tests").rglob("test_*.py") if path != this)
    return "\n".join(path.read_text() for path in paths)


@pytest.mark.parametrize("command", own_commands())
def test_every_command_is_tested(command: str) -> None:
    assert f'"{command}"' in all_tests()


@pytest.mark.parametrize("name", sorted(set(jobs.registry) - {"test.leak"}))
def test_every_job_is_tested(name: str) -> None:
    tests = all_tests()
    assert f'"{name}"' in tests or jobs.registry[name].__name__ in tests


def test_every_model_is_known_as_configuration_or_record() -> None:
    models = {
        model._meta.label
        for app in APPS
        for model in apps.get_app_config(app).get_models()
        if not hasattr(model, "pgh_tracked_model")
    }
    assert models == CONFIGURATION | RECORDS


@pytest.mark.parametrize("label", sorted(CONFIGURATION))
def test_every_configuration_model_is_audited(label: str) -> None:
    model = apps.get_model(label)
    trackers = [
        event for event in apps.get_models() if getattr(event, "pgh_tracked_model", None) is model
    ]
    assert len(trackers) == 1
    tracked = {field.name for field in trackers[0]._meta.fields}
    secrets = {field.name for field in model._meta.fields if type(field).__name__ == "SecretField"}
    assert tracked.isdisjoint(secrets)
    triggers = {trigger.name for trigger in model._meta.triggers}
    assert {"insert_insert", "update_update", "delete_delete"} <= triggers
