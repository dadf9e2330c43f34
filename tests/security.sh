#!/usr/bin/env bash
# Runs the tests of the security checks and prints a line for each identifier with its figures, and a summary.
#
#   tests/security.sh [--long] [IDENTIFIER...]
#
# --long takes the long form of those that have one: all sample apps in every isolation mode, 1,000 builds in a row, a kill
# at 300 and more calls, 200 faulty pushes, 20 to 100 times as many generated archives, app files and answers. It takes
# hours; the short form is part of the ordinary tests.
# The dependencies are held against a snapshot of the RustSec advisory database where one is present: in the directory
# that LAPSTRAKE_ADVISORIES names, or where cargo keeps it.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 tests/security/run.py "$@"
