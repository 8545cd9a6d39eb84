#!/usr/bin/env python
"""Django's command line for WedSync Realtime."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wedsync.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:  # an operator's to mend, who needs the sentence and no traceback
        sys.stderr.write(f"manage.py: {error}\n")
        sys.exit(2)
