"""What pages and mails about an error show of the settings."""

from __future__ import annotations

import re
from typing import Any

from django.views.debug import SafeExceptionReporterFilter

LOGIN = re.compile(r"://.*@")


class AddressFilter(SafeExceptionReporterFilter):
    """Django knows a secret by the name of its setting; the login of Redis stands in an address."""

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        """Asked for whatever is in lists and dictionaries, too."""
        if isinstance(value, str) and LOGIN.search(value):
            return self.cleansed_substitute
        return super().cleanse_setting(key, value)
