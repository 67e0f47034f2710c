#!/bin/sh
# Prepares if needed, then runs the grid's command line: ./run.sh --help
set -eu
unset CDPATH PYTHONHOME PYTHONPATH PYTHONSAFEPATH
SMARTRIX_CALLED_FROM="$(pwd)"
export SMARTRIX_CALLED_FROM
cd -- "$(dirname -- "$0")"
./prepare.sh --quiet
exec .venv/bin/python -m deploy "$@"
