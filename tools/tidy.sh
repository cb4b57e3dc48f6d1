#!/usr/bin/env bash
# Static analysis by .clang-tidy; a finding is an error.
#   tools/tidy.sh [folder or file ...]      default: all of src/
# Reads the compile commands of build/dev (BERTH_BUILD names another folder), which must have been built: generated headers
# are read too. A file takes 5 to 60 seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-tidy >/dev/null || { echo "tidy.sh: clang-tidy is not installed (tools/install.sh)" >&2; exit 1; }
build=${BERTH_BUILD:-build/dev}
[ -f "$build/compile_commands.json" ] ||
  { echo "tidy.sh: $build is not configured; run: cmake --preset dev && cmake --build --preset dev" >&2; exit 1; }
[ $# -gt 0 ] || set -- src
# The compile commands are gcc's: clang must not stop at an option or a warning that it alone knows, nor read gcc's
# precompiled headers.
find "$@" -name '*.cc' -print0 | sort -z |
  xargs -0 -r -P "${BERTH_JOBS:-$(nproc)}" -n 1 clang-tidy -p "$build" --quiet \
    --extra-arg=-Wno-everything --extra-arg=-Qunused-arguments 2> >(grep -v 'warnings\? generated' >&2)
