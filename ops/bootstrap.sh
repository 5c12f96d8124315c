#!/bin/sh
# Makes .venv ready to use, from nothing but Python 3.11 to 3.14 with venv. Prints the path of uv.
# Safe to run at any time, and again after any interruption; it takes no time when all is ready.
set -eu
directory=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
usable='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))'
for python in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$python" >/dev/null 2>&1 && "$python" -c "$usable" >/dev/null 2>&1; then
        exec "$python" "$directory/bootstrap.py"
    fi
done
cat >&2 <<'MESSAGE'
error: no Python >= 3.11 and < 3.15 with the venv and ensurepip modules was found
  (looked for: $PYTHON, python3, python3.14, python3.13, python3.12, python3.11 on PATH).
  On Debian and Ubuntu: apt-get install python3-venv. Another Python: make PYTHON=/path/to/python3 ...
MESSAGE
exit 1
