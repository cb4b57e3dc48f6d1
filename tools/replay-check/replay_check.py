#!/usr/bin/env python3
"""Plays recorded placements of the published FGD protocol again, with arithmetic of its own, and checks that

  - no node's cpu, memory, devices or GPU model is ever violated;
  - no pod was turned away that fits on some node;
  - the unallocated GPU that `berth evaluate --json` printed is what the placements give.

    berth evaluate --protocol fgd --nodes N.csv --pods P.csv --arrival A.csv --noderank R.csv --seeds 42-51 --model DIR --record records --json > result.json
    replay_check.py --nodes N.csv --pods P.csv --arrival A.csv --records records --result result.json

Needs Python 3.8 and nothing else. Knows nothing of Berth's code. Exit code 1 and a line for each violation.
"""
import argparse
import csv
import decimal
import json
import pathlib
import sys


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def half_even(value, digits=0):
    return decimal.Decimal(value).quantize(decimal.Decimal(1).scaleb(-digits), rounding=decimal.ROUND_HALF_EVEN)


class Node:
    def __init__(self, row):
        self.cpu, self.mem, self.model = int(row["cpu_milli"]), int(row["memory_mib"]), row["model"]
        self.gpus = [1000] * int(row["gpu"])

    def fits(self, pod):
        if self.cpu < pod["cpu"] or self.mem < pod["mem"]:
            return False
        if pod["count"] == 0:
            return True
        if pod["models"] and self.model not in pod["models"]:
            return False
        return sum(free >= pod["milli"] for free in self.gpus) >= pod["count"]

    def take(self, pod, devices):
        """What is wrong with it, or an empty text."""
        if len(devices) != pod["count"] or any(d >= len(self.gpus) for d in devices):
            return f"devices {devices} for a pod of {pod['count']}"
        if pod["count"] and pod["models"] and self.model not in pod["models"]:
            return f"model {self.model} is not one of {sorted(pod['models'])}"
        if self.cpu < pod["cpu"] or self.mem < pod["mem"] or any(self.gpus[d] < pod["milli"] for d in devices):
            return "no room"
        self.cpu -= pod["cpu"]
        self.mem -= pod["mem"]
        for device in devices:
            self.gpus[device] -= pod["milli"]
        return ""


def parse_pod(row):
    count = int(row["num_gpu"])
    milli = int(row["gpu_milli"]) if count == 1 else 1000 * (count > 0)
    return {"cpu": int(row["cpu_milli"]), "mem": int(row["memory_mib"]), "count": count, "milli": milli,
            "models": frozenset(filter(None, (row.get("gpu_spec") or "").split("|")))}


def replay(node_rows, pods, order, record, complain):
    nodes = {row["sn"]: Node(row) for row in node_rows}
    capacity = 1000 * sum(len(node.gpus) for node in nodes.values())
    if len(record) != len(order):
        complain(f"{len(record)} placements recorded of {len(order)} arrivals")
    used = arrived = failed = 0
    points = {}
    hopeless = set()   # pods of that kind fit nowhere, and nothing ever leaves
    for step, (index, line) in enumerate(zip(order, record)):
        pod = pods[index]
        arrived += pod["count"] * pod["milli"]
        key = (pod["cpu"], pod["mem"], pod["count"], pod["milli"], pod["models"])
        if line["node"]:
            wrong = nodes[line["node"]].take(pod, [int(d) for d in line["devices"].split()])
            if wrong:
                complain(f"arrival {step} on {line['node']}: {wrong}")
            used += pod["count"] * pod["milli"]
        else:
            failed += 1
            if key not in hopeless:
                fit = next((name for name, node in nodes.items() if node.fits(pod)), None)
                if fit:
                    complain(f"arrival {step} was turned away and fits on {fit}")
                hopeless.add(key)
        at = int(half_even(decimal.Decimal(100 * arrived) / capacity))
        points.setdefault(at, []).append(half_even(decimal.Decimal(100 * used) / capacity, 2))
    unallocated = {at: float(100 - half_even(sum(p) / len(p), 2)) for at, p in points.items()}
    return used, failed, unallocated


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("nodes", "pods", "arrival", "records", "result"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    node_rows, pods = rows(arguments.nodes), [parse_pod(row) for row in rows(arguments.pods)]
    arrivals = rows(arguments.arrival)
    with open(arguments.result) as file:
        runs = json.load(file)["runs"]
    wrong = 0

    def complain(text):
        nonlocal wrong
        wrong += 1
        if wrong <= 20:
            print(text)

    for run in runs:
        name = f"{run['policy']}-{run['seed']}"
        order = [int(row[f"s{run['seed']}"]) for row in arrivals if row[f"s{run['seed']}"]]
        record = rows(pathlib.Path(arguments.records) / f"{name.replace('/', '_').replace(':', '_')}.csv")
        used, failed, unallocated = replay(node_rows, pods, order, record, lambda text: complain(f"{name}: {text}"))
        if (used, failed) != (run["allocated_gpu_milli"], run["failed_pods"]):
            complain(f"{name}: used {used} and failed {failed}, printed {run['allocated_gpu_milli']} and {run['failed_pods']}")
        for at in (100, 130):
            if at in unallocated and abs(unallocated[at] - run[f"unallocated_percent_at_{at}"]) > 0.0051:
                complain(f"{name}: {unallocated[at]} % unallocated at {at}, printed {run[f'unallocated_percent_at_{at}']}")
    print(f"{len(runs)} runs replayed, {wrong} violations")
    return 1 if wrong or not runs else 0


if __name__ == "__main__":
    sys.exit(main())
