"""Which addresses of a receiver have a notice: who has it gets it no second time."""

import django.core.validators
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
        migrations.AlterField(
            model_name="alertrule",
            name="no_data_s",
            field=models.FloatField(
                default=0,
                help_text="Told after so long without a reading; 0: only if it was told as firing.",
                validators=[django.core.validators.MinValueValidator(0)],
                verbose_name="no data, seconds",
            ),
        ),
    ]
