from django.db import migrations

# Addresses: the venues' own documentation (production networks).
VENUES = (
    (
        "binance",
        "Binance USDⓈ-M",
        "binance",
        "https://fapi.binance.com",
        "wss://fstream.binance.com",
    ),
    ("aster", "Aster", "aster", "https://fapi.asterdex.com", "wss://fstream.asterdex.com"),
    ("pacifica", "Pacifica", "pacifica", "https://api.pacifica.fi", "wss://ws.pacifica.fi"),
)


def add_venues(apps, schema_editor):
    venue = apps.get_model("markets", "Venue")
    for venue_id, name, dialect, rest, websocket in VENUES:
        venue.objects.get_or_create(
            venue_id=venue_id,
            defaults={
                "name": name,
                "dialect": dialect,
                "rest_endpoint": rest,
                "ws_endpoint": websocket,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("markets", "0001_initial")]
    operations = [migrations.RunPython(add_venues, migrations.RunPython.noop, elidable=False)]
