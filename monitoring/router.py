"""Which database holds what: the models of monitoring live in `history`, everything else in `default`."""

from __future__ import annotations

from typing import Any

APP, ALIAS = "monitoring", "history"


class HistoryRouter:
    """`DATABASE_ROUTERS`. Nothing relates across the two."""

    def db_for_read(self, model: Any, **hints: object) -> str | None:
        return ALIAS if model._meta.app_label == APP else None

    def db_for_write(self, model: Any, **hints: object) -> str | None:
        return ALIAS if model._meta.app_label == APP else None

    def allow_relation(self, one: Any, other: Any, **hints: object) -> bool | None:
        return bool((one._meta.app_label == APP) == (other._meta.app_label == APP))

    def allow_migrate(self, db: str, app_label: str, **hints: object) -> bool | None:
        return (db == ALIAS) == (app_label == APP)
