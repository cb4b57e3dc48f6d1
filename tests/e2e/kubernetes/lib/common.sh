# Shared by control_plane.sh and the other files of this folder: messages, waiting, HTTP.

say() { printf '%s\n' "$*"; }
die() {
  printf 'control_plane.sh: %s\n' "$*" >&2
  exit 1
}
skip() {
  printf 'SKIPPED: %s\n' "$*"
  exit 77
}

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || die "the program '$tool' is missing"
  done
}

# seconds NAME DEFAULT: the whole number of seconds in the variable NAME.
seconds() {
  local value=${!1:-$2}
  [[ $value =~ ^[1-9][0-9]{0,5}$ ]] || die "$1 is '$value', accepted: 1 to 999999 seconds"
  printf '%s' "$value"
}

# wait_until SECONDS COMMAND...: true as soon as COMMAND is, false when SECONDS have passed.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

# Requests to loopback only, so a proxy from the environment is never asked.
fetch() { curl --silent --show-error --fail --noproxy '*' --max-time 10 --cacert "$dir/pki/ca.crt" "$@"; }

# free_port: a port of 127.0.0.1 on which nobody listens, below the range from which the kernel takes the ports of clients.
# Somebody may still be faster: see start_on_free_ports.
free_port() {
  local port attempt
  for attempt in {1..100}; do
    port=$(shuf -i 20000-32000 -n 1)
    if ! awk -v port="$(printf ':%04X' "$port")" 'substr($2, length($2) - 4) == port {found = 1} END {exit !found}' \
      /proc/net/tcp /proc/net/tcp6 2>/dev/null; then
      printf '%s' "$port"
      return
    fi
  done
  die "no free port between 20000 and 32000 after $attempt attempts"
}
