"""The command that runs a paper venue: its start, its stop, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

MANAGE = Path(settings.BASE_DIR) / "manage.py"


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_told_to_stop(tmp_path: Path, stop: signal.Signals) -> None:
    config = tmp_path / "venue.json"
    account = {"label": "alpha", "apiKey": "the-key", "apiSecret": "the-secret", "balance": "5000"}
    config.write_text(json.dumps({"symbols": ["BTC", "SOL"], "accounts": [account]}))
    ledger = tmp_path / "ledger.jsonl"
    options = ("--json", "--name=paper-a", f"--config={config}", f"--ledger={ledger}")
    process = subprocess.Popen(
        [sys.executable, str(MANAGE), "run_paper_venue", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        with urlopen(f"{said['rest']}/fapi/v1/exchangeInfo", timeout=5) as reply:  # noqa: S310
            listed = [item["symbol"] for item in json.load(reply)["symbols"]]
        process.send_signal(stop)
        assert process.wait(timeout=15) == 0
    finally:
        process.kill()
        process.wait()
    assert said["name"] == "paper-a"
    assert said["rest"].startswith("http://127.0.0.1:")
    assert said["accounts"] == ["alpha"]
    assert said["pid"] == process.pid
    assert "secret" not in json.dumps(said)
    assert listed == said["symbols"] == ["BTCUSDT", "SOLUSDT"]
    [entry] = [json.loads(text) for text in ledger.read_text().splitlines()]
    assert (entry["kind"], entry["path"]) == ("request", "/fapi/v1/exchangeInfo")


@pytest.mark.parametrize(
    ("dialect", "path", "symbol"),
    [("aster", "/fapi/v3/exchangeInfo", "BTCUSDT"), ("pacifica", "/api/v1/info", "BTC")],
)
def test_speaks_the_dialect_asked_for(dialect: str, path: str, symbol: str) -> None:
    process = subprocess.Popen(
        [sys.executable, str(MANAGE), "run_paper_venue", "--json", f"--dialect={dialect}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        with urlopen(f"{said['rest']}{path}", timeout=5) as reply:  # noqa: S310
            assert f'"symbol":"{symbol}"' in reply.read().decode()
    finally:
        process.kill()
        process.wait()
    assert said["dialect"] == dialect
    assert said["symbols"][0] == symbol


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"account": ["only-a-key"]}, "KEY:SECRET:LABEL:BALANCE"),
        ({"account": ["k:s:a:NaN"]}, "balance"),
        ({"account": ["k:s:a:1:BTC"]}, "SYM=SIZE"),
        ({"account": ["k:s:a:1:DOGE=1"]}, "no market for DOGE"),
        ({"account": ["k:s:a:1", "k:s:b:1"]}, "API key may be given only once"),
        ({"symbols": "btc"}, "no base asset"),
        ({"symbols": ","}, "at least one symbol"),
        ({"port": 99999}, "99999"),
        ({"config": Path("/nowhere/venue.json")}, "/nowhere/venue.json"),
        ({"replay": [Path("/nowhere/capture.gz")]}, "/nowhere/capture.gz"),
        ({"speed": "fast"}, "--speed"),
        ({"actor": "0"}, "above zero"),
        ({"actor": "soon:1"}, "--actor seconds"),
    ],
)
def test_wrong_arguments_are_explained_and_exit_with_2(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CommandError, match=says) as error:
        call_command("run_paper_venue", **options)
    assert error.value.returncode == 2


def test_configuration_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PAPER_VENUE_CONFIG", '{"symbols": []}')
    with pytest.raises(CommandError, match="at least one symbol"):
        call_command("run_paper_venue")
