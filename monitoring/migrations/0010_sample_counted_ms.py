"""In how much time the counts of a sample came. Empty in what is there: as much as was watched."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0009_notice_reached")]

    operations = [
        migrations.AddField(
            model_name="sample",
            name="counted_ms",
            field=models.PositiveBigIntegerField(
                help_text="Empty: in what was watched.", null=True, verbose_name="counted in, ms"
            ),
        )
    ]
