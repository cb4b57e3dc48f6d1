#!/usr/bin/env bash
# Builds and tests Berth, from nothing on a fresh Debian 12.
#   ./test.sh            asan (address, undefined-behaviour and leak sanitizers and assertions, without LibTorch; label fast), then
#                        release (all but e2e)
#   ./test.sh --quick    release alone, label fast
#   ./test.sh --e2e      the default, and e2e against a real Kubernetes control plane of one version; so does CI=true
#   ./test.sh --e2e-all  the same with every version that is supported
#                        Both build the control plane once (needs Go 1.26 or newer; without it these tests say SKIPPED and why).
# Where PETSc and MPI are installed already ('tools/install.sh --with-petsc' does it), release builds and tests berth-solve-mpi too.
# Needs 6 GB of disk and 4 GB of memory. BERTH_SHARED_DATA names the folder of the published traces (default: ../shared/data);
# a test that needs it is skipped where it is absent, and fails under CI=true. BERTH_JOBS: compilers and tests at once.
set -euo pipefail
cd "$(dirname "$0")"
. tools/common.sh

is_quick=false
is_e2e=false
versions=1.37.2
[ "${CI:-}" != true ] || is_e2e=true
for argument in "$@"; do
  case "$argument" in
    --quick) is_quick=true ;;
    --e2e) is_e2e=true ;;
    --e2e-all) is_e2e=true; versions="1.37.2 1.34.4" ;;
    --help | -h) sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "test.sh: unknown argument '$argument', accepted: --quick, --e2e, --e2e-all, --help" >&2; exit 2 ;;
  esac
done

tools/install.sh
use_ccache

# What only --with-petsc needs is all there.
with_petsc=()
if [ "$(tools/install.sh --missing --with-petsc)" = "$(tools/install.sh --missing)" ]; then with_petsc=(-DBERTH_WITH_PETSC=ON); fi

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
  build release "${with_petsc[@]}"
  if $is_e2e; then
    export BERTH_E2E_VERSIONS=$versions
    for version in $versions; do
      say "Building Kubernetes $version for the end-to-end tests"
      tests/e2e/kubernetes/control_plane.sh build "$version" || [ $? -eq 77 ]   # 77: SKIPPED, and the tests say so too
    done
    run_tests release
  else
    run_tests release -LE '^e2e$'
  fi
fi

say "All builds, $(((SECONDS - start) / 60)) minutes"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
