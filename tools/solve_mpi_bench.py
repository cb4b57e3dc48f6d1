#!/usr/bin/env python3
"""Seconds of berth-solve-mpi on one, two, ... ranks of this machine beside `berth solve`, on one random model (a Garnet).
Standard library alone; prints a table. docs/mdp-mpi.md has its figures.

    tools/solve_mpi_bench.py --bin build/release/bin --states 100000 --actions 10 --successors 5
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile

MPIRUN = ["mpirun", "--oversubscribe", "--mca", "btl", "self,vader", "--mca", "btl_vader_single_copy_mechanism", "none"]


def write_garnet(path, states, actions, successors, seed):
    rng = random.Random(seed)
    with open(path, "w", encoding="ascii") as out:
        out.write("state,action,next,probability,reward\n")
        for s in range(states):
            for a in range(actions):
                weights = [rng.expovariate(1) for _ in range(successors)]
                total, reward = sum(weights), rng.random()
                for next_state, weight in zip(rng.sample(range(states), successors), weights):
                    out.write(f"{s},{a},{next_state},{weight / total!r},{reward!r}\n")


def run(command, timeout_s=900):
    env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, timeout=timeout_s, check=True)
    return json.loads(done.stdout)["results"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/release/bin")
    for name, value in (("states", 100_000), ("actions", 10), ("successors", 5), ("seed", 1), ("runs", 5), ("ranks", 2)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--one-minus-gamma", default="0.01")
    parser.add_argument("--epsilon", default="1e-6")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        csv, umb = os.path.join(folder, "garnet.csv"), os.path.join(folder, "garnet.umb")
        write_garnet(csv, flags.states, flags.actions, flags.successors, flags.seed)
        model = ["--one-minus-gamma", flags.one_minus_gamma, "--epsilon", flags.epsilon, "--json", "--model"]
        solve = [os.path.join(flags.bin, "berth"), "solve"]
        run(solve + model + [csv, "--write", umb])
        os.remove(csv)
        commands = {f"berth solve, {m}": solve + ["--method", m] + model + [umb]
                    for m in ("modified-policy-iteration", "policy-iteration")}
        for krylov in ("bicgstab", "gmres"):
            for n in range(1, flags.ranks + 1):
                commands[f"{n} ranks, {krylov}"] = (MPIRUN + ["-n", str(n), os.path.join(flags.bin, "berth-solve-mpi"),
                                                              "--no-values", "--krylov", krylov] + model + [umb])
        print("| what | s | CPU-s of rank 0 | policies or sweeps | Krylov iterations | certified error | MiB of the largest part |")
        print("|---|---|---|---|---|---|---|")
        for what, command in commands.items():
            results = [run(command) for _ in range(flags.runs)]
            seconds = [r["solve_s"] for r in results if "solve_s" in r]
            wall = f"{statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})" if seconds else ""
            r = results[0]
            part = f"{r['largest_part_bytes'] / 2**20:.0f}" if "largest_part_bytes" in r else ""
            print(f"| {what} | {wall} | {statistics.median(x['cpu_s'] for x in results):.2f} | {r['sweeps']} | "
                  f"{r.get('krylov_iterations', '')} | {r['error']:.1e} | {part} |", flush=True)


if __name__ == "__main__":
    main()
