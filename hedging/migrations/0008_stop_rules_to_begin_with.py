from decimal import Decimal

from django.db import migrations

RULES = (
    ("margin", Decimal("0.8"), "book", "flatten"),
    ("rejects", Decimal(20), "account", "pause"),
    ("mismatch", Decimal(1000), "account", "pause"),
    ("stale-data", Decimal(30), "account", "pause"),
)


def add_rules(apps, schema_editor):
    rules = apps.get_model("hedging", "StopRule").objects
    for trigger, threshold, scope, action in RULES:
        rules.get_or_create(
            stop_rule_id=trigger,
            defaults={
                "trigger": trigger,
                "threshold": threshold,
                "scope": scope,
                "action": action,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("hedging", "0007_stop_rules")]
    operations = [migrations.RunPython(add_rules, migrations.RunPython.noop, elidable=False)]
