"""A rule for a worker whose clock is wrong."""

from django.db import migrations

NAME = "clock-offset"
RULE = {
    "title": "The clock of a worker is wrong",
    "signal": "clock.offset",
    "raise_at": 5,
    "for_s": 3,
    "hidden_by": "worker-missing",
    "what_to_do": "Order and timers do not depend on it; tickets and times that are shown do. Look at chrony or NTP on its machine.",
}


def add_rule(apps, schema_editor):
    rules = apps.get_model("monitoring", "AlertRule").objects.using(schema_editor.connection.alias)
    rules.get_or_create(name=NAME, defaults=RULE)


class Migration(migrations.Migration):

    dependencies = [
        ("monitoring", "0006_dashboard_permissions"),
    ]

    operations = [migrations.RunPython(add_rule, migrations.RunPython.noop)]
