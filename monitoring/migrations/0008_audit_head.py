"""Where the audit ends: how many entries there are, and the last seal."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def as_it_is(apps: Any, schema_editor: Any) -> None:
    """The head of the entries that are there."""
    alias = schema_editor.connection.alias
    entries = apps.get_model("monitoring", "AuditEntry").objects.using(alias).order_by("-id")
    seal = entries.values_list("seal", flat=True).first() or ""
    apps.get_model("monitoring", "AuditHead").objects.using(alias).create(pk=1, count=entries.count(), seal=seal)


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0007_clock_rule")]

    operations = [
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("count", models.PositiveBigIntegerField(default=0)),
                ("seal", models.CharField(blank=True, default="", max_length=64)),
            ],
        ),
        migrations.RunPython(as_it_is, migrations.RunPython.noop),
    ]
