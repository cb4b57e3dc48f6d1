#!/usr/bin/env bash
# A real Kubernetes control plane for the end-to-end tests: built from Go modules, run unprivileged on loopback, always stopped.
#
#   control_plane.sh build [VERSION]
#       Builds kube-apiserver, kube-scheduler, kube-controller-manager and kubectl of VERSION, etcd and kwok, what is not there
#       yet. VERSION is one of modules/kubernetes-*, by default the newest. Prints `SKIPPED: <why>` and exits with 77 where Go
#       or the module proxy is missing.
#   control_plane.sh up VERSION DIR [--without-kcm] [--without-kwok] [--without-scheduler]
#       Starts it. DIR must be new or empty. What a test needs to know stands in DIR/env (see README.md).
#   control_plane.sh scheduler start DIR CONFIG
#       Starts kube-scheduler, or starts it again, with a KubeSchedulerConfiguration; @KUBECONFIG@ in it is replaced.
#   control_plane.sh scheduler stop DIR
#   control_plane.sh apiserver kill|start DIR
#       kill is SIGKILL; start uses the same arguments and port, and waits until it is ready.
#   control_plane.sh nodes DIR COUNT [CPU] [MEMORY] [PREFIX]
#       Creates ready nodes PREFIX0, PREFIX1, ... without a kubelet; by default 4, 8Gi, hollow-.
#   control_plane.sh down DIR
#       Stops all that `up DIR` started, also when it got only half-way. Logs stay in DIR/log.
#
# Exit codes: 0 done, 1 failed, 2 wrong usage, 77 skipped.
# Environment: BERTH_E2E_CACHE    where the programs are built to (default: ${XDG_CACHE_HOME:-~/.cache}/berth-e2e)
#              BERTH_E2E_PARENT   a process id: when that process is gone, a watchdog stops what `up` started
#              BERTH_E2E_READY_S  seconds that each program gets to become ready (default: 90)
#              BERTH_E2E_BUILD_S  seconds that each build gets (default: 3600)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
self=$here/${BASH_SOURCE[0]##*/}
. "$here/lib/common.sh"
. "$here/lib/build.sh"
. "$here/lib/process.sh"
. "$here/lib/cluster.sh"
. "$here/lib/nodes.sh"

usage() { sed -n '2,/^set /{s/^#$//p;s/^# //p}' "$self"; }
wrong_usage() {
  printf 'control_plane.sh: %s; see control_plane.sh --help\n' "$1" >&2
  exit 2
}

# arguments MIN MAX NAMES "$@": there must be MIN to MAX of them, none an option.
arguments() {
  local min=$1 max=$2 names=$3 argument
  shift 3
  for argument in "$@"; do
    [[ $argument != -* ]] || wrong_usage "unknown option '$argument'"
  done
  (($# >= min && $# <= max)) || wrong_usage "$# arguments after '$command', accepted: $names"
}

main() {
  local command=${1:-} argument
  for argument in "$@"; do
    case $argument in --help | -h) usage; exit 0 ;; esac
  done
  [ $# -gt 0 ] || wrong_usage "a command is missing"
  shift
  ready_s=$(seconds BERTH_E2E_READY_S 90)
  build_s=$(seconds BERTH_E2E_BUILD_S 3600)
  case $command in
    build) arguments 0 1 '[VERSION]' "$@"; build_all "${1:-$(newest_version)}" ;;
    up) parse_up "$@" ;;
    down) arguments 1 1 DIR "$@"; use_folder "$1"; down ;;
    nodes) arguments 2 5 'DIR COUNT [CPU] [MEMORY] [PREFIX]' "$@"; load "$1"; create_nodes "${@:2}" ;;
    scheduler)
      case ${1:-} in
        start) arguments 3 3 'start DIR CONFIG' "$@"; load "$2"; start_scheduler "$3" ;;
        stop) arguments 2 2 'stop DIR' "$@"; load "$2"; stop scheduler ;;
        *) wrong_usage "scheduler '${1:-}', accepted: start, stop" ;;
      esac ;;
    apiserver)
      case ${1:-} in
        kill) arguments 2 2 'kill DIR' "$@"; load "$2"; stop apiserver KILL ;;
        start) arguments 2 2 'start DIR' "$@"; load "$2"; restart_apiserver ;;
        *) wrong_usage "apiserver '${1:-}', accepted: kill, start" ;;
      esac ;;
    watchdog) use_folder "$1"; watch_parent "$2" "$3" ;; # started by `up` alone
    *) wrong_usage "unknown command '$command', accepted: build, up, scheduler, apiserver, nodes, down" ;;
  esac
}

parse_up() {
  local positional=() argument
  with_kcm=true with_kwok=true with_scheduler=true
  for argument in "$@"; do
    case $argument in
      --without-kcm) with_kcm=false ;;
      --without-kwok) with_kwok=false ;;
      --without-scheduler) with_scheduler=false ;;
      *) positional+=("$argument") ;;
    esac
  done
  arguments 2 2 'VERSION DIR [--without-kcm] [--without-kwok] [--without-scheduler]' "${positional[@]}"
  up "${positional[@]}"
}

main "$@"
exit
