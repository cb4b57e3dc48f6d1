# Builds the programs into the cache, each version once. Nothing is written into the source tree: every build works on a copy of
# its module, in a folder that is renamed to its final name when it is complete.

etcd_version=$(sed -n 's|^require go.etcd.io/etcd/server/v3 v||p' "$here/modules/etcd/go.mod")
kwok_version=$(sed -n 's|^require sigs.k8s.io/kwok v||p' "$here/modules/kwok/go.mod")

# The pods that kwok runs, and the nodes: the stages of a kubelet that has nothing to wait for. No heartbeats: nothing here reads
# them, and 1000 nodes would keep a small machine busy.
kwok_stages=(node/fast/node-initialize pod/fast/pod-ready pod/fast/pod-complete pod/fast/pod-delete)

versions() { (cd "$here/modules" && printf '%s\n' kubernetes-*) | sed 's/^kubernetes-//' | sort -V; }
newest_version() { versions | tail -n 1; }
check_version() {
  versions | grep -Fxq -- "$1" || die "version '$1', accepted: $(versions | paste -sd ' ')"
}

cache_folder() {
  local cache=${BERTH_E2E_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME and BERTH_E2E_CACHE are both unset}/.cache}/berth-e2e}
  mkdir -p "$cache" || die "cannot create the cache; set BERTH_E2E_CACHE to a folder that can be written"
  (cd "$cache" && pwd -P)
}
kubernetes_folder() { printf '%s/%s' "$(cache_folder)" "$1"; }
etcd_folder() { printf '%s/etcd-%s' "$(cache_folder)" "$etcd_version"; }
kwok_folder() { printf '%s/kwok-%s' "$(cache_folder)" "$kwok_version"; }

check_go() {
  local module=$1 wanted have
  wanted=$(sed -n 's/^go //p' "$here/modules/$module/go.mod")
  command -v go >/dev/null || skip "Go is not installed; $module needs $wanted or newer"
  have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//;s/[^0-9.].*//')
  [ "$(printf '%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ] ||
    skip "Go is ${have:-of an unknown version}; $module needs $wanted or newer"
}

# run_go ARGUMENT...: in the copied module. The user's go.work and flags have no say; proxy and checksum database stay the user's.
run_go() {
  (
    cd "$stage/module" || exit 1
    GOWORK=off GOTOOLCHAIN=local GOFLAGS='-mod=readonly -buildvcs=false' CGO_ENABLED=0 timeout "$build_s" nice go "$@"
  )
}

# download PACKAGE...: fetches what the build needs, so that a missing network is told apart from code that does not compile.
download() {
  local log=$stage/download.log
  run_go list -deps "$@" >/dev/null 2>"$log" && return
  tail -n 5 "$log" >&2
  if grep -Eiq 'dial tcp|no such host|i/o timeout|connection re(fused|set)|TLS handshake|proxyconnect|lookup disabled|: [45][0-9][0-9] ' "$log"; then
    skip "the Go module proxy cannot be reached: $(grep -v '^go: downloading' "$log" | tail -n 1 | cut -c 1-160)"
  fi
  die "the modules cannot be loaded; see above"
}

# build_module MODULE TARGET LDFLAGS PACKAGE...: builds into TARGET/bin, unless TARGET is there.
build_module() {
  local module=$1 target=$2 flags=$3 start=$SECONDS
  shift 3
  if [ -d "$target" ]; then
    say "$module: built before, $target"
    return
  fi
  check_go "$module"
  say "$module: building, which takes minutes"
  stage=$(mktemp -d "$(cache_folder)/.build.XXXXXX")
  trap 'rm -rf "$stage"' EXIT
  mkdir "$stage/module" "$stage/out" "$stage/out/bin"
  cp "$here/modules/$module"/{go.mod,go.sum,tools.go} "$stage/module"
  download "$@"
  run_go build -p 2 -trimpath -ldflags "-s -w $flags" -o "$stage/out/bin/" "$@" || die "$module does not build; see above"
  if [ "$module" = kwok ]; then copy_stages; fi
  if [ "$module" = etcd ]; then mv "$stage/out/bin/server" "$stage/out/bin/etcd"; fi
  mv -T "$stage/out" "$target"
  rm -rf "$stage"
  trap - EXIT
  say "$module: built in $((SECONDS - start)) s, $target"
}

copy_stages() {
  local source name
  source=$(run_go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
  for name in "${kwok_stages[@]}"; do
    cat "$source/$name.yaml"
    say ---
  done >"$stage/out/stages.yaml"
}

build_all() {
  local version=$1 minor package=k8s.io/component-base/version lock
  check_version "$version"
  need awk cp flock mktemp nice sed sort timeout
  # One build at a time: a second one waits, and then finds the programs.
  exec {lock}>"$(cache_folder)/lock"
  flock -w "$build_s" "$lock" || die "another build holds the cache's lock"
  rm -rf "$(cache_folder)"/.build.* # what a killed build left
  minor=${version#1.}
  build_module etcd "$(etcd_folder)" '' go.etcd.io/etcd/server/v3
  build_module kwok "$(kwok_folder)" '' sigs.k8s.io/kwok/cmd/kwok
  # Without its version the API server takes itself for v0.0.0, and defaults that depend on the version go wrong.
  build_module "kubernetes-$version" "$(kubernetes_folder "$version")" \
    "-X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}" \
    k8s.io/kubernetes/cmd/{kube-apiserver,kube-scheduler,kube-controller-manager,kubectl}
  exec {lock}>&-
}
