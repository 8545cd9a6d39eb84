"""Entry of a worker and of the web process. Started by the supervisor, ends with it."""

from __future__ import annotations

import argparse
import os

import django


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--end", type=int, required=True, help="descriptor of this process's end of the pair")
    asked = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wedsync.settings")
    django.setup()
    from realtime.bootstrap import run_worker  # models are there only after Django's set-up

    run_worker(asked.end)


if __name__ == "__main__":
    main()
