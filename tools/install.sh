#!/usr/bin/env bash
# Installs what Berth is built from: packages of Debian 12. Does nothing, and touches no network, where all of them are there.
#   tools/install.sh            install what is missing
#   tools/install.sh --list     print the packages, one a line
#   tools/install.sh --missing  print those that are not there, one a line
#   --with-petsc                with what -DBERTH_WITH_PETSC=ON needs besides (docs/mdp-mpi.md)
set -euo pipefail

with_petsc=false

packages() {
  # MPI and the distributed equation solver of berth-solve-mpi.
  if $with_petsc; then printf '%s\n' libopenmpi-dev libpetsc-real-dev openmpi-bin; fi
  sed -e 's/#.*//' -e 's/ /\n/g' <<'LIST' | sed '/^$/d'
# Compilers and the build.
build-essential ccache cmake git ninja-build pkg-config
# Checks that the tests run: layout of the code, static analysis.
clang-format clang-tidy
# Base: status, strings, log, numbers.
libabsl-dev libeigen3-dev libfmt-dev libspdlog-dev
# Command line, files of workloads and models and their checksums, CSV traces; libarchive: the tar of UMB models.
libarchive-dev libcli11-dev libcsv-dev libssl-dev libyaml-cpp-dev nlohmann-json3-dev
# Server: gRPC, Protobuf, the ledger's journal, metrics.
libgrpc++-dev libgrpc-dev libleveldb-dev libprotobuf-dev libsnappy-dev prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc zlib1g-dev
# HTTP side port, the Kubernetes adapter.
libboost-dev libcurl4-openssl-dev libsimdjson-dev
# Linear programs: bounds and prices.
coinor-libclp-dev
# Training. OpenBLAS takes the place of the reference BLAS, which is many times slower.
libopenblas0-serial libtorch-dev libgloo-dev
# Tests of tools/openb-orders; the end-to-end tests (with Go 1.26 or newer, which Debian 12 does not have).
curl golang-go openssl
# The independent check of placements (tools/replay-check).
python3
# Plots of the report.
gnuplot-nox
# Tests and micro-benchmarks.
libbenchmark-dev libgmock-dev libgtest-dev
LIST
}

die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

missing_packages() {
  local package
  while read -r package; do
    [ "$(dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1)" = installed ] || printf '%s\n' "$package"
  done < <(packages)
}

shows=
for argument in "$@"; do
  case "$argument" in
    --list) shows=packages ;;
    --missing) shows=missing_packages ;;
    --with-petsc) with_petsc=true ;;
    *) die "unknown argument '$argument', accepted: --list, --missing, --with-petsc or nothing" ;;
  esac
done
if [ -n "$shows" ]; then "$shows" | sort; exit 0; fi

command -v dpkg-query >/dev/null || die "this is not Debian: install the equivalents of these packages yourself ('tools/install.sh --list'), then set BERTH_SKIP_INSTALL=1"
if [ "${BERTH_SKIP_INSTALL:-}" = 1 ]; then
  echo "install.sh: skipped, BERTH_SKIP_INSTALL=1"
  exit 0
fi

mapfile -t missing < <(missing_packages)
if [ ${#missing[@]} -eq 0 ]; then
  echo "install.sh: all $(packages | wc -l) packages are there"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || die "needs root or sudo to install: ${missing[*]}"
  as_root=(sudo)
fi
echo "install.sh: installing ${#missing[@]} of $(packages | wc -l) packages: ${missing[*]}"
"${as_root[@]}" apt-get update -q || die "'apt-get update' failed: are Debian's packages reachable from here?"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" ||
  die "apt-get could not install: ${missing[*]}"
echo "install.sh: installed ${#missing[@]} packages"
