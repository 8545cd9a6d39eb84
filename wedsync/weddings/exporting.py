"""Run sheets as CSV that a spreadsheet shows as text and `runsheets.read` reads back as it was."""

from __future__ import annotations

import csv
import io

from wedsync.weddings.models import Wedding
from wedsync.weddings.runsheets import COLUMNS
from wedsync.weddings.tables import harmless


def runsheet_csv(wedding: Wedding) -> str:
    """The run sheet of `wedding`, times local to the venue; starts with a byte order mark, so that Excel reads the accents."""
    items = list(wedding.items.order_by("start", "id"))
    titles = {item.pk: item.title for item in items}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for item in items:
        cells = [
            f"{item.start.astimezone(wedding.zone):%Y-%m-%d %H:%M}",
            str(item.minutes),
            item.title,
            item.where,
            "; ".join(item.who),
            item.kind,
            "; ".join(titles[pk] for pk in item.depends_on if pk in titles),
            item.notes,
        ]
        writer.writerow([harmless(cell) for cell in cells])
    return "\ufeff" + out.getvalue()
