from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("strategies", "0005_reconciliation")]

    operations = [
        migrations.AlterField(
            model_name="orderintent",
            name="created_at",
            field=models.DateTimeField(db_default=Now(), editable=False, verbose_name="created at"),
        ),
    ]
