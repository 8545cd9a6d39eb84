"""Run sheets as CSV that a spreadsheet shows as text and `runsheets.read` reads back as it was."""

from __future__ import annotations

import csv
import io

from wedsync.weddings.models import Wedding
from wedsync.weddings.runsheets import COLUMNS, OPTIONAL
from wedsync.weddings.tables import harmless, wall_clock


def runsheet_csv(wedding: Wedding) -> str:
    """The run sheet of `wedding`, times local to the venue; starts with a byte order mark, so that Excel reads the accents."""
    items = list(wedding.items.order_by("start", "id"))
    titles = {item.pk: item.title for item in items}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*COLUMNS, *OPTIONAL])
    for item in items:
        cells = [
            wall_clock(item.start, wedding.zone),
            str(item.minutes),
            item.title,
            item.where,
            "; ".join(item.who),
            item.kind,
            "; ".join(titles[pk] for pk in item.depends_on if pk in titles),
            item.notes,
            item.visibility,
        ]
        writer.writerow([harmless(cell) for cell in cells])
    return "\ufeff" + out.getvalue()
