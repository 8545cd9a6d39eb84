"""Loaded before Django's settings: tests have a folder of their own and never touch `var/`."""

import os
import tempfile

os.environ.setdefault("WEDSYNC_VAR", tempfile.mkdtemp(prefix="wedsync-tests-"))
os.environ.setdefault("WEDSYNC_DEBUG", "1")
os.environ.setdefault("WEDSYNC_LOAD_TESTING", "1")
