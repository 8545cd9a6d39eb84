"""Which addresses of a receiver have a notice: who has it gets it no second time."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0008_audit_head")]

    operations = [
        migrations.AddField(
            model_name="notice",
            name="reached",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Addresses that have it, separated by commas.",
                max_length=500,
            ),
        ),
    ]
