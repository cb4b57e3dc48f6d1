#!/usr/bin/env bash
# Builds and tests Berth, from nothing on a fresh Debian 12.
#   ./test.sh            asan (address, undefined-behaviour and leak sanitizers, without LibTorch; label fast), dev (assertions;
#                        label fast), then release (all but e2e)
#   ./test.sh --quick    release alone, label fast
#   ./test.sh --e2e      the default, and e2e; so does CI=true
# Needs 6 GB of disk and 4 GB of memory. BERTH_SHARED_DATA names the folder of the published traces (default: ../shared/data);
# a test that needs it is skipped where it is absent, and fails under CI=true. BERTH_JOBS: compilers and tests at once.
set -euo pipefail
cd "$(dirname "$0")"
. tools/common.sh

is_quick=false
is_e2e=false
[ "${CI:-}" != true ] || is_e2e=true
for argument in "$@"; do
  case "$argument" in
    --quick) is_quick=true ;;
    --e2e) is_e2e=true ;;
    --help | -h) sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "test.sh: unknown argument '$argument', accepted: --quick, --e2e, --help" >&2; exit 2 ;;
  esac
done

tools/install.sh
use_ccache

passed=0
failed=0
skipped=0
# run_tests <preset> [ctest argument ...]: runs on after a failure, and counts.
run_tests() {
  local preset=$1 junit closing
  shift
  say "Testing $preset"
  junit="$PWD/build/$preset/tests.xml"
  rm -f "$junit"
  ctest --preset "$preset" -j "$(jobs)" --no-tests=error --output-junit "$junit" "$@" || true
  closing=$(sed -n 's/^[[:space:]]*\(tests\|failures\|disabled\|skipped\)="\([0-9]*\)".*/\1=\2/p' "$junit" 2>/dev/null || true)
  [ -n "$closing" ] || die "the tests of $preset did not run; see above"
  count() { sed -n "s/^$1=//p" <<<"$closing" | head -n 1; }
  failed=$((failed + $(count failures)))
  skipped=$((skipped + $(count skipped) + $(count disabled)))
  passed=$((passed + $(count tests) - $(count failures) - $(count skipped) - $(count disabled)))
}

start=$SECONDS
if $is_quick; then
  build release
  run_tests release -L '^fast$'
else
  build asan
  run_tests asan -L '^fast$'
  build dev
  run_tests dev -L '^fast$'
  build release
  if $is_e2e; then run_tests release; else run_tests release -LE '^e2e$'; fi
fi

say "All builds, $(((SECONDS - start) / 60)) minutes"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
