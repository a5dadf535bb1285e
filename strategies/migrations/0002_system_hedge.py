from django.db import migrations


def add_module(apps, schema_editor):
    apps.get_model("strategies", "StrategyModule").objects.get_or_create(
        module_id="system-hedge",
        defaults={
            "name": "System hedge",
            "type": "hedge-only",
            "dry_run_enabled": False,
            "max_concurrent_signals": 1000,
            "status": "enable",
        },
    )


class Migration(migrations.Migration):
    dependencies = [("strategies", "0001_initial")]
    operations = [migrations.RunPython(add_module, migrations.RunPython.noop, elidable=False)]
