# Hollow nodes: Node objects that are ready, though no kubelet stands behind them.

# node_requests METHOD COUNT CPU MEMORY PREFIX: a curl configuration with one request a node.
node_requests() {
  awk -v method="$1" -v count="$2" -v cpu="$3" -v memory="$4" -v prefix="$5" -v nodes="$API_SERVER/api/v1/nodes" \
    -v dir="$dir" -v now="$(date -u +%Y-%m-%dT%H:%M:%SZ)" '
    function quoted(text) { gsub(/[\\"]/, "\\\\&", text); return "\"" text "\"" }
    function condition(type, status, reason) {
      return sprintf("{\"type\":\"%s\",\"status\":\"%s\",\"reason\":\"%s\",\"message\":\"hollow\",\"lastHeartbeatTime\":\"%s\",\"lastTransitionTime\":\"%s\"}",
        type, status, reason, now, now)
    }
    function node(name) {
      return sprintf("{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{\"kubernetes.io/hostname\":\"%s\",\"kubernetes.io/arch\":\"amd64\",\"kubernetes.io/os\":\"linux\",\"type\":\"hollow\"},\"annotations\":{\"kwok.x-k8s.io/node\":\"fake\"}},\"status\":{\"capacity\":%s,\"allocatable\":%s,\"conditions\":[%s],\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"127.0.0.1\"},{\"type\":\"Hostname\",\"address\":\"%s\"}]}}",
        name, name, resources, resources, conditions, name)
    }
    BEGIN {
      resources = sprintf("{\"cpu\":\"%s\",\"memory\":\"%s\",\"ephemeral-storage\":\"100Gi\",\"pods\":\"110\"}", cpu, memory)
      conditions = condition("Ready", "True", "KubeletReady") "," condition("MemoryPressure", "False", "KubeletHasSufficientMemory") "," \
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure") "," condition("PIDPressure", "False", "KubeletHasSufficientPID")
      for (i = 0; i < count; i++) {
        name = prefix i
        if (i > 0) print "next"
        print "url = " quoted(nodes (method == "POST" ? "" : "/" name))
        print "request = " method
        print "data = " quoted(method == "POST" ? node(name) : "{\"spec\":{\"taints\":null}}")
        print "header = \"Content-Type: application/" (method == "POST" ? "json" : "merge-patch+json") "\""
        print "header = " quoted("@" dir "/admin.header")
        print "cacert = " quoted(dir "/pki/ca.crt")
        print "noproxy = \"*\"\nmax-time = 60\noutput = /dev/null\nsilent"
        print "write-out = \"%{http_code} " name "\\n\""
      }
    }'
}

# create_nodes COUNT [CPU] [MEMORY] [PREFIX]: creates them, then removes the taint with which every new node begins.
create_nodes() {
  local count=$1 cpu=${2:-4} memory=${3:-8Gi} prefix=${4:-hollow-} method wanted answers bad start=$SECONDS
  [[ $count =~ ^[1-9][0-9]{0,4}$ ]] || die "COUNT is '$count', accepted: 1 to 99999"
  [[ $cpu =~ ^[1-9][0-9]*m?$ ]] || die "CPU is '$cpu', accepted: cores such as 4, or 3500m"
  [[ $memory =~ ^[1-9][0-9]*([KMGT]i|[kMGT])?$ ]] || die "MEMORY is '$memory', accepted: bytes such as 8Gi, 500M"
  [[ $prefix =~ ^[a-z0-9][a-z0-9-]{0,50}$ ]] || die "PREFIX is '$prefix', accepted: at most 51 of a-z, 0-9 and -, no - first"
  for method in POST PATCH; do
    wanted=201
    [ "$method" = POST ] || wanted=200
    answers=$(node_requests "$method" "$count" "$cpu" "$memory" "$prefix" |
      timeout 300 curl --parallel --parallel-max 32 --config - 2>"$dir/log/nodes.log") || true
    bad=$(grep -v "^$wanted " <<<"$answers" | head -n 1) || true
    [ -z "$bad" ] || die "$method of node ${bad#* } got HTTP ${bad%% *}, wanted $wanted"
    [ "$(grep -c "^$wanted " <<<"$answers")" = "$count" ] || die "$method of $count nodes: not all were answered: $(tail -n 1 "$dir/log/nodes.log")"
  done
  say "$count nodes in $((SECONDS - start)) s: ${prefix}0 to $prefix$((count - 1)), $cpu CPU, $memory"
}
