# Starts the programs of a control plane in the right order, each with keys and tokens of this run only.

# certificate NAME SUBJECT [openssl argument...]: pki/NAME.key and pki/NAME.crt.
certificate() {
  local name=$1 subject=$2
  shift 2
  openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2 -subj "/CN=$subject" \
    -config <(printf '[req]\ndistinguished_name = name\n[name]\n') \
    -keyout "$dir/pki/$name.key" -out "$dir/pki/$name.crt" "$@" 2>"$dir/log/openssl.log" ||
    die "openssl cannot make the certificate $name: $(tail -n 1 "$dir/log/openssl.log")"
}

# One authority, one certificate for every server and for the API server as the client of etcd, one key for service accounts.
make_keys() {
  mkdir "$dir/pki"
  certificate ca berth-e2e-ca -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
  certificate server berth-e2e -CA "$dir/pki/ca.crt" -CAkey "$dir/pki/ca.key" -addext extendedKeyUsage=serverAuth,clientAuth \
    -addext subjectAltName=IP:127.0.0.1,IP:10.0.0.1,DNS:localhost,DNS:kubernetes.default.svc
  # In the form of SEC 1: the API server finds the public half in no other.
  openssl ecparam -name prime256v1 -genkey -noout -out "$dir/pki/service-accounts.key"
}

# user NAME USER GROUPS: a random token for USER, in tokens.csv, in NAME.token, and in NAME.header for curl.
user() {
  local token
  token=$(openssl rand -hex 16)
  printf '%s,%s,%s,"%s"\n' "$token" "$2" "$1" "$3" >>"$dir/tokens.csv"
  printf '%s' "$token" >"$dir/$1.token"
  printf 'Authorization: Bearer %s' "$token" >"$dir/$1.header"
}

# kubeconfig NAME: NAME.kubeconfig for the user of that name.
kubeconfig() {
  cat >"$dir/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters:
- {name: e2e, cluster: {server: "https://127.0.0.1:$API_SERVER_PORT", certificate-authority: "$dir/pki/ca.crt"}}
users:
- {name: $1, user: {token: "$(<"$dir/$1.token")"}}
contexts:
- {name: e2e, context: {cluster: e2e, user: $1}}
current-context: e2e
YAML
}

spawn_etcd() {
  local peer
  ETCD_PORT=$(free_port)
  peer=https://127.0.0.1:$(free_port)
  spawn etcd "$(etcd_folder)/bin/etcd" --data-dir="$dir/etcd-data" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls="https://127.0.0.1:$ETCD_PORT" --advertise-client-urls="https://127.0.0.1:$ETCD_PORT" \
    --cert-file="$dir/pki/server.crt" --key-file="$dir/pki/server.key" --trusted-ca-file="$dir/pki/ca.crt" --client-cert-auth \
    --listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" --initial-cluster="default=$peer" \
    --peer-cert-file="$dir/pki/server.crt" --peer-key-file="$dir/pki/server.key" --peer-trusted-ca-file="$dir/pki/ca.crt" \
    --peer-client-cert-auth
}
etcd_is_healthy() { fetch --cert "$dir/pki/server.crt" --key "$dir/pki/server.key" "https://127.0.0.1:$ETCD_PORT/health"; }

# --requestheader-allowed-names: 1.37 refuses to start without it when one authority signs for clients and for proxies.
# --advertise-address: else a machine without a default route has no address to advertise.
spawn_apiserver() {
  API_SERVER_PORT=$(free_port)
  spawn apiserver "$BIN/kube-apiserver" --etcd-servers="https://127.0.0.1:$ETCD_PORT" \
    --etcd-cafile="$dir/pki/ca.crt" --etcd-certfile="$dir/pki/server.crt" --etcd-keyfile="$dir/pki/server.key" \
    --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="$API_SERVER_PORT" \
    --tls-cert-file="$dir/pki/server.crt" --tls-private-key-file="$dir/pki/server.key" --cert-dir="$dir/pki" \
    --client-ca-file="$dir/pki/ca.crt" --requestheader-client-ca-file="$dir/pki/ca.crt" \
    --requestheader-allowed-names=front-proxy-client --token-auth-file="$dir/tokens.csv" --authorization-mode=RBAC \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$dir/pki/service-accounts.key" \
    --service-account-signing-key-file="$dir/pki/service-accounts.key" --service-cluster-ip-range=10.0.0.0/24 \
    --disable-admission-plugins=ServiceAccount --allow-privileged=true --endpoint-reconciler-type=none --profiling=false
}
apiserver_is_ready() { fetch -H "@$dir/admin.header" "https://127.0.0.1:$API_SERVER_PORT/readyz"; }

# The controllers that a test may need, and no others: memory is scarce.
# --use-service-account-credentials: the controller manager's own user may not write EndpointSlices.
spawn_kcm() {
  KCM_PORT=$(free_port)
  spawn kcm "$BIN/kube-controller-manager" --kubeconfig="$dir/kcm.kubeconfig" \
    --authentication-kubeconfig="$dir/kcm.kubeconfig" --authorization-kubeconfig="$dir/kcm.kubeconfig" \
    --bind-address=127.0.0.1 --secure-port="$KCM_PORT" \
    --tls-cert-file="$dir/pki/server.crt" --tls-private-key-file="$dir/pki/server.key" \
    --leader-elect=false --use-service-account-credentials=true \
    --service-account-private-key-file="$dir/pki/service-accounts.key" --root-ca-file="$dir/pki/ca.crt" \
    --kube-api-qps=1000 --kube-api-burst=2000 --profiling=false --controllers="$(
      printf '%s-controller,' deployment replicaset statefulset job daemonset garbage-collector namespace pod-garbage-collector \
        endpoints endpointslice disruption | sed 's/,$//'
    )"
}
kcm_is_healthy() { fetch "https://127.0.0.1:$KCM_PORT/healthz"; }

spawn_kwok() {
  KWOK_PORT=$(free_port)
  spawn kwok env KWOK_WORKDIR="$dir/kwok" "$(kwok_folder)/bin/kwok" --kubeconfig="$dir/admin.kubeconfig" \
    --config="$(kwok_folder)/stages.yaml" --manage-all-nodes=true --node-lease-duration-seconds=0 \
    --node-ip=127.0.0.1 --cidr=10.9.0.0/16 --server-address="127.0.0.1:$KWOK_PORT"
}
kwok_is_healthy() { fetch "http://127.0.0.1:$KWOK_PORT/healthz"; }

spawn_scheduler() {
  SCHEDULER_PORT=$(free_port)
  spawn scheduler "$BIN/kube-scheduler" --config="$dir/scheduler.yaml" \
    --authentication-kubeconfig="$dir/sched.kubeconfig" --authorization-kubeconfig="$dir/sched.kubeconfig" \
    --bind-address=127.0.0.1 --secure-port="$SCHEDULER_PORT" \
    --tls-cert-file="$dir/pki/server.crt" --tls-private-key-file="$dir/pki/server.key"
}
scheduler_is_ready() { fetch "https://127.0.0.1:$SCHEDULER_PORT/readyz"; }

# start_scheduler CONFIG: also ends the one that runs.
start_scheduler() {
  local text
  [ -r "$1" ] || die "cannot read the scheduler's configuration '$1'"
  text=$(<"$1")
  stop scheduler
  printf '%s\n' "${text//@KUBECONFIG@/"$dir/sched.kubeconfig"}" >"$dir/scheduler.yaml"
  printf 'control_plane.sh: starting with %s\n' "$1" >>"$dir/log/scheduler.log"
  start_on_free_ports scheduler spawn_scheduler scheduler_is_ready
  write_env
}

restart_apiserver() {
  spawn apiserver
  await apiserver apiserver_is_ready || give_up apiserver
}

berth_lists_nodes() { fetch -H "@$dir/berth.header" "https://127.0.0.1:$API_SERVER_PORT/api/v1/nodes?limit=1" >/dev/null 2>&1; }

# What user `berth` may do: the manifest that Berth ships; as long as there is none, what kube-scheduler may do.
grant_berth() {
  local shipped=$here/../../../deploy/kubernetes/extender/rbac.yaml
  if [ -f "$shipped" ]; then
    "$dir/kubectl" apply -f "$shipped" >/dev/null || die "the API server refuses deploy/kubernetes/extender/rbac.yaml; see above"
    wait_until 5 berth_lists_nodes ||
      die "deploy/kubernetes/extender/rbac.yaml gives user berth no right to list nodes"
    return
  fi
  "$dir/kubectl" apply -f - >/dev/null <<'YAML' || die "the API server refuses the rights of user berth; see above"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: berth-is-a-scheduler}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:kube-scheduler"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: berth}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: berth-schedules-volumes}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:volume-scheduler"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: berth}]
YAML
}

# write_env: everything a test needs, as NAME=VALUE lines.
write_env() {
  local name
  API_SERVER=https://127.0.0.1:$API_SERVER_PORT CA=$dir/pki/ca.crt
  ADMIN_TOKEN=$(<"$dir/admin.token") BERTH_TOKEN=$(<"$dir/berth.token") KUBECTL=$dir/kubectl
  ADMIN_KUBECONFIG=$dir/admin.kubeconfig BERTH_KUBECONFIG=$dir/berth.kubeconfig SCHED_KUBECONFIG=$dir/sched.kubeconfig
  ETCD=https://127.0.0.1:$ETCD_PORT ETCD_CERT=$dir/pki/server.crt ETCD_KEY=$dir/pki/server.key
  for name in VERSION BIN KUBECTL API_SERVER API_SERVER_PORT CA ADMIN_TOKEN BERTH_TOKEN ADMIN_KUBECONFIG BERTH_KUBECONFIG \
    SCHED_KUBECONFIG ETCD ETCD_PORT ETCD_CERT ETCD_KEY KCM_PORT KWOK_PORT SCHEDULER_PORT; do
    printf '%s=%q\n' "$name" "${!name:-}"
  done >"$dir/env.new"
  mv "$dir/env.new" "$dir/env"
}

# kubectl of this version, as admin and with its cache in DIR; an own --kubeconfig wins.
write_kubectl() {
  cat >"$dir/kubectl" <<SH
#!/bin/sh
exec $(printf '%q' "$BIN/kubectl") --kubeconfig=$(printf '%q' "$dir/admin.kubeconfig") --cache-dir=$(printf '%q' "$dir/kubectl-cache") "\$@"
SH
  chmod u+x "$dir/kubectl"
}

# up VERSION DIR
up() {
  local start=$SECONDS name
  check_version "$1"
  need awk curl cut openssl sed setsid shuf sort tail wc
  VERSION=$1 BIN=$(kubernetes_folder "$1")/bin KCM_PORT='' KWOK_PORT='' SCHEDULER_PORT=''
  ls -d "$BIN" "$(etcd_folder)" "$(kwok_folder)" >/dev/null 2>&1 ||
    die "version $1 is not built; run: control_plane.sh build $1"
  umask 077
  mkdir -p "$2" || die "cannot create '$2'"
  dir=$(cd "$2" && pwd -P)
  [ -z "$(ls -A "$dir")" ] || die "'$2' is not empty"
  chmod 700 "$dir"
  mkdir "$dir"/{pids,log,commands}
  trap 'down' EXIT
  trap 'exit 130' INT TERM HUP
  start_watchdog

  make_keys
  user admin admin system:masters
  user kcm system:kube-controller-manager ''
  user sched system:kube-scheduler ''
  user berth berth ''

  start_on_free_ports etcd spawn_etcd etcd_is_healthy
  start_on_free_ports apiserver spawn_apiserver apiserver_is_ready
  for name in admin kcm sched berth; do kubeconfig "$name"; done
  write_kubectl
  grant_berth
  ! $with_kcm || start_on_free_ports kcm spawn_kcm kcm_is_healthy
  ! $with_kwok || start_on_free_ports kwok spawn_kwok kwok_is_healthy
  write_env
  if $with_scheduler; then
    cat >"$dir/plain-scheduler.yaml" <<'YAML'
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: "@KUBECONFIG@", qps: 5000, burst: 5000}
leaderElection: {leaderElect: false}
YAML
    start_scheduler "$dir/plain-scheduler.yaml"
  fi
  trap - EXIT INT TERM HUP
  say "Kubernetes $VERSION is ready after $((SECONDS - start)) s: https://127.0.0.1:$API_SERVER_PORT, $dir"
}
