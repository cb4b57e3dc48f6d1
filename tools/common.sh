# Shared by train.sh, test.sh and the scripts in tools/. Source it from the root of the checkout, after `set -euo pipefail`.

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Compilers that run at once: one a core, and 2 GiB of memory for each (a file that includes LibTorch takes 1.3 GiB).
# BERTH_JOBS overrides it.
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ {print int($2 / (2 * 1024 * 1024))}' /proc/meminfo)
  [ "$memory" -ge 1 ] || memory=1
  printf '%s' "${BERTH_JOBS:-$((cores < memory ? cores : memory))}"
}

# The compiler's cache is bounded and serves every checkout of this project.
use_ccache() {
  export CCACHE_DIR="${CCACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-$PWD/.cache}/.cache}/ccache}"
  export CCACHE_MAXSIZE="${CCACHE_MAXSIZE:-5G}"
  export CCACHE_BASEDIR="${CCACHE_BASEDIR:-$PWD}"
  export CCACHE_NOHASHDIR=1
  mkdir -p "$CCACHE_DIR" || die "cannot create the compiler cache $CCACHE_DIR: set CCACHE_DIR to a folder that can be written"
}

# build <preset> [cmake argument ...]: configures and builds build/<preset>.
build() {
  local preset=$1
  shift
  say "Building $preset (build/$preset, $(jobs) jobs)"
  cmake --preset "$preset" --log-level=NOTICE "$@" || die "the preset $preset cannot be configured; see above"
  cmake --build --preset "$preset" -j "$(jobs)" || die "the preset $preset does not build; see above"
}
