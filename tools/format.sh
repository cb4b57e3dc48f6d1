#!/usr/bin/env bash
# Lays out our C++ by .clang-format.
#   tools/format.sh            rewrites what differs
#   tools/format.sh --check    changes nothing; names what differs and exits 1
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-format >/dev/null || { echo "format.sh: clang-format is not installed (tools/install.sh)" >&2; exit 1; }

case "${1:-}" in
  "") mode=(-i) ;;
  --check) mode=(--dry-run --Werror -ferror-limit=1) ;;
  *) echo "format.sh: unknown argument '$1', accepted: --check or nothing" >&2; exit 2 ;;
esac
find bench src tests tools examples \( -name '*.h' -o -name '*.cc' \) -print0 2>/dev/null | xargs -0 -r clang-format --style=file "${mode[@]}"
