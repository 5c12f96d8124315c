"""`python -m local_cluster up|down|status`."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  before an import can fail
    sys.exit(f"error: Python 3.11 or newer is needed; this is {sys.version.split()[0]}")

from local_cluster.cli import main

if __name__ == "__main__":
    sys.exit(main())
