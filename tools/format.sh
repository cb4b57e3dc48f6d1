#!/usr/bin/env bash
# Lays out our C++ by .clang-format.
#   tools/format.sh [folder or file ...]            rewrites what differs; default: everything
#   tools/format.sh --check [folder or file ...]    changes nothing; names what differs and exits 1
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-format >/dev/null || { echo "format.sh: clang-format is not installed (tools/install.sh)" >&2; exit 1; }

check=false
if [ "${1:-}" = --check ]; then
  check=true
  shift
fi
if [ $# -eq 0 ]; then
  for folder in bench examples src tests tools; do [ ! -d "$folder" ] || set -- "$@" "$folder"; done
fi
sources() { find "$@" \( -name '*.h' -o -name '*.cc' \) -print0 | sort -z; }
if $check; then
  sources "$@" | xargs -0 -r clang-format --style=file --dry-run --Werror -ferror-limit=1 ||
    { echo "format.sh: run tools/format.sh" >&2; exit 1; }
else
  sources "$@" | xargs -0 -r clang-format --style=file -i
fi
