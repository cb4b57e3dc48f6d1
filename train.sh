#!/usr/bin/env bash
# From nothing on a fresh Debian 12 to a trained and measured policy: installs, builds, trains on a built-in workload, prints
# policy against rules with confidence intervals, publishes out/models/<name>/<version>.
#   ./train.sh [--serve] [--workload NAME|FILE] [--seed N] [argument of `berth train` ...]
# --serve   then serves the model on 127.0.0.1:50051 until Ctrl-C; a model that is published already is served without training
#           again. BERTH_LISTEN is another address, or unix:PATH.
# Other arguments go to `berth train`; for a first look: ./train.sh --steps 30
set -euo pipefail
cd "$(dirname "$0")"
. tools/common.sh

is_serving=false
workload=openb-like
seed=1
train_arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --serve) is_serving=true ;;
    --workload | --seed)
      [ $# -ge 2 ] || die "$1 needs a value"
      if [ "$1" = --seed ]; then seed=$2; else workload=$2; fi
      shift ;;
    --help | -h) sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) train_arguments+=("$1") ;;
  esac
  shift
done

# What the policy is measured against, and on what: seeds that training never draws (docs/training.md).
rules=best-fit,fgd,fgd-keep-empty
loads=0.9
seeds=201-212
models=out/models
berth=build/release/bin/berth
listen=${BERTH_LISTEN:-127.0.0.1:50051}
# The server is told its nodes by a file: those of the workload.
nodes=$workload
[ -f "$nodes" ] || nodes=workloads/$workload.yaml
name=$(basename "$workload" .yaml | tr "[:upper:]" "[:lower:]" | tr -c "[:alnum:]\n" -)

newest() {
  [ ! -d "$models/$name" ] || find "$models/$name" -mindepth 2 -maxdepth 2 -name manifest.json | sort -t/ -k4,4n | tail -n 1 | xargs -r dirname
}

tools/install.sh
use_ccache
build release

model=$(newest)
if ! $is_serving || [ -z "$model" ] || [ ${#train_arguments[@]} -gt 0 ]; then
  say "Training on $workload, seed $seed (under 10 minutes on 2 cores)"
  mkdir -p out
  $berth train --workload "$workload" --seed "$seed" --out "$models" --name "$name" "${train_arguments[@]}" | tee out/train.txt
  model=$(sed -n 's/^model //p' out/train.txt | tail -n 1)
  [ -f "$model/manifest.json" ] || die "training ended without a published model"

  say "Policy against rules: $workload, load $loads, unseen seeds $seeds"
  $berth evaluate --workload "$workload" --form loss --load "$loads" --seeds "$seeds" --policies "$rules" --model "$model" --out out/evaluation
  say "Done. Model: $model   Report: out/evaluation/report.html"
fi

if $is_serving; then
  say "Serving $model on $listen. From another shell:
   $berth place --server $listen --cpu 500m --memory 512Mi --json"
  exec $berth serve --listen "$listen" --nodes "$nodes" --model "$model"
fi
say "To serve it: ./train.sh --serve"
