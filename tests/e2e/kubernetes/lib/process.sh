# Processes of a run. Each has $dir/pids/NAME.pid, $dir/pids/NAME.start (its start time, so that a process that got the same id
# later is never mistaken for it), $dir/log/NAME.log and $dir/commands/NAME (its command line, to start it again).

# use_folder DIR: works on a folder that `up` made.
use_folder() {
  [ -d "$1/pids" ] || die "'$1' is not a folder that \`up\` made"
  dir=$(cd "$1" && pwd -P)
  umask 077
}

# load DIR: the same, and reads the variables of a complete start.
load() {
  use_folder "$1"
  [ -f "$dir/env" ] || die "'$1' holds no complete start of a control plane"
  . "$dir/env"
}

# start_time PID: clock ticks after boot; fails when there is no such process, or a zombie.
start_time() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) } # the name before it may hold anything
  [[ $stat != [ZX]* ]] || return 1
  cut -d ' ' -f 20 <<<"$stat"
}

# pid_of NAME: its process id; fails when it does not run.
pid_of() {
  local pid start
  { read -r pid <"$dir/pids/$1.pid" && read -r start <"$dir/pids/$1.start"; } 2>/dev/null || return 1
  [ "$(start_time "$pid")" = "$start" ] || return 1
  printf '%s' "$pid"
}
is_running() { pid_of "$1" >/dev/null; }
is_stopped() { ! is_running "$1"; }

# spawn NAME [PROGRAM ARGUMENT...]: starts a program, or once more the last one of that name, in a session of its own. Its id is
# on disk before the program runs, so that nothing escapes `down` when this script is killed.
spawn() {
  local name=$1
  shift
  if [ $# -gt 0 ]; then printf '%q ' "$@" >"$dir/commands/$name"; else eval "set -- $(<"$dir/commands/$name")"; fi
  is_stopped "$name" || die "$name runs already"
  rm -f "$dir/pids/$name".{pid,start}
  (
    exec </dev/null >>"$dir/log/$name.log" 2>&1
    trap - EXIT
    start_time "$BASHPID" >"$dir/pids/$name.start"
    printf '%s\n' "$BASHPID" >"$dir/pids/$name.pid.new"
    mv "$dir/pids/$name.pid.new" "$dir/pids/$name.pid"
    exec setsid "$@"
  ) &
  disown # the shell reports nothing about it
  wait_until 10 test -s "$dir/pids/$name.pid" || die "$name did not start"
}

# stop NAME [SIGNAL]: ends it, by SIGKILL when the signal (TERM) has not done so in 10 s.
stop() {
  local name=$1 signal=${2:-TERM} pid
  if pid=$(pid_of "$name"); then
    kill "-$signal" "$pid" 2>/dev/null || true
    if ! wait_until 10 is_stopped "$name"; then
      say "$name did not end in 10 s, killed"
      kill -KILL "$pid" 2>/dev/null || true
      if ! wait_until 10 is_stopped "$name"; then
        printf 'control_plane.sh: %s (process %s) cannot be stopped\n' "$name" "$pid" >&2
        return 1
      fi
    fi
  fi
  rm -f "$dir/pids/$name".{pid,start}
}

down() {
  local name failed=0
  [ "${watching:-false}" = true ] || stop watchdog KILL || failed=1
  for name in scheduler kcm kwok apiserver etcd; do stop "$name" || failed=1; done
  return "$failed"
}

# watch_parent PID START: stops the run when that process is gone; ends when `down` came first.
watch_parent() {
  while [ "$(start_time "$1")" = "$2" ]; do
    [ -d "$dir/pids" ] || exit 0
    sleep 1
  done
  say "process $1 is gone, stopping"
  watching=true
  down
  rm -f "$dir/pids/watchdog".{pid,start}
}

start_watchdog() {
  local start
  [ -n "${BERTH_E2E_PARENT:-}" ] || return 0
  start=$(start_time "$BERTH_E2E_PARENT") || die "BERTH_E2E_PARENT is '$BERTH_E2E_PARENT', accepted: the id of a process that runs"
  spawn watchdog bash "$self" watchdog "$dir" "$BERTH_E2E_PARENT" "$start"
}

# healthy_or_dead NAME COMMAND...: COMMAND succeeds, or there is nothing to wait for any more.
healthy_or_dead() {
  local name=$1
  shift
  is_stopped "$name" || "$@" >/dev/null 2>&1
}

# await NAME COMMAND...: waits until COMMAND succeeds while NAME runs.
await() {
  wait_until "$ready_s" healthy_or_dead "$@" && is_running "$1"
}

# give_up NAME: prints what NAME said last, and fails.
give_up() {
  tail -n 15 "$dir/log/$1.log" | cut -c 1-400 >&2
  die "$1 $(is_running "$1" && printf 'is not ready after %s s' "$ready_s" || printf 'ended'), see above"
}

# start_on_free_ports NAME FUNCTION HEALTH: FUNCTION picks free ports and spawns NAME, HEALTH asks it. When somebody else took a
# port in between, both are tried again.
start_on_free_ports() {
  local name=$1 attempt from
  for attempt in 1 2 3 4 5; do
    from=$(wc -c 2>/dev/null <"$dir/log/$name.log" || printf 0)
    "$2"
    ! await "$name" "$3" || return 0
    tail -c "+$((from + 1))" "$dir/log/$name.log" | grep -q 'address already in use' || give_up "$name"
    stop "$name"
    say "$name: attempt $attempt lost a port to somebody else"
  done
  give_up "$name"
}
