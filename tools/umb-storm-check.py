#!/usr/bin/env python3
"""Berth and Storm 2.0.0 solve the same .umb; their values must agree within the errors that they claim. Not part of ./test.sh:
Storm is not installed by tools/install.sh.

    python3 -m venv VENV && VENV/bin/pip install quantecon==0.11.4 stormpy==2.0.0
    berth solve --model shared/data/mdp-oracles/bound-trap-total.json --write trap.umb
    VENV/bin/python tools/umb-storm-check.py --model trap.umb --total
    VENV/bin/python tools/umb-storm-check.py --model any.umb --one-minus-gamma 0.01 --epsilon 1e-6

--total needs the label "absorbing", which Berth writes. A discounted model goes to Storm as a total until a sink (mdp_peers.py).
Of a total or discounted reward Storm claims bounds (optimistic value iteration); of --horizon and --average it claims --epsilon.
Exit code: 0 they agree, 1 they don't, 2 wrong usage.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

import mdp_peers


def ask_berth(flags):
    asked = {"total": ["--total"], "average": ["--average"], "discounted": ["--one-minus-gamma", str(flags.one_minus_gamma)],
             "finite": ["--horizon", str(flags.horizon)]}[flags.criterion] + (["--minimize"] if flags.minimize else [])
    ran = subprocess.run([flags.berth, "solve", "--model", flags.model, "--method", flags.method, "--epsilon", str(flags.epsilon), "--json",
                          *asked], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise SystemExit(f"berth: {ran.stderr.strip()}")
    answer = json.loads(ran.stdout)
    for skipped in answer["skipped"]:
        print(f"skipped {skipped['method']}: {skipped['reason']}", file=sys.stderr)
    if not answer["results"]:
        raise SystemExit("berth solved it by no method")
    return answer["results"]


def ask_storm(flags):
    """Lower and upper bounds as Storm claims them."""
    best = "min" if flags.minimize else "max"
    if flags.criterion in ("average", "finite"):
        formula = "LRA" if flags.criterion == "average" else f"C<={flags.horizon}"
        (values, _, _), seconds = mdp_peers.storm_solve(flags.model, f'R{{"reward"}}{best}=? [{formula}]', flags.epsilon)
        return values - flags.epsilon, values + flags.epsilon, seconds
    formula = f'R{{"reward"}}{best}=? [F "absorbing"]'
    arrays = mdp_peers.read_umb(flags.model)
    least = min(0.0, float(np.min(arrays[-1])))
    if flags.criterion == "total":
        if least < 0:
            raise SystemExit(f"reward is {least}, accepted: 0 or more, as Storm's bounds are false where some are negative")
        (_, lower, upper), seconds = mdp_peers.storm_solve(flags.model, formula, flags.epsilon)
        return lower, upper, seconds
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sink.umb")
        # With rewards of both signs Storm's bounds are false (seen on the oracle unreachable-discounted): all are raised.
        raised = (*arrays[:-1], arrays[-1] - least)
        mdp_peers.write_umb(path, *mdp_peers.sink_form(raised, flags.one_minus_gamma))
        (_, lower, upper), seconds = mdp_peers.storm_solve(path, formula, flags.epsilon)
    # gamma p is rounded, and the nearer gamma is to one the more that counts: it is not held against Storm.
    rounding = 4 * np.finfo(float).eps * np.max(np.abs(upper)) / flags.one_minus_gamma
    level = least / flags.one_minus_gamma
    return lower[:-1] + level - rounding, upper[:-1] + level + rounding, seconds


def apart(lower, upper, other_lower, other_upper):
    """States whose two intervals have no point in common; 1e-12 of the value is left to Storm's rounding, for which it has no term."""
    slack = 1e-12 * np.maximum(np.abs(other_lower), np.abs(other_upper))
    return np.flatnonzero((lower > other_upper + slack) | (upper < other_lower - slack))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a .umb of probabilities with one reward")
    parser.add_argument("--berth", default="build/release/bin/berth", help="the program (default %(default)s)")
    parser.add_argument("--method", default="all", help="of berth (default %(default)s)")
    parser.add_argument("--epsilon", type=float, default=1e-6)
    criterion = parser.add_mutually_exclusive_group(required=True)
    criterion.add_argument("--total", action="store_const", const="total", dest="criterion")
    criterion.add_argument("--average", action="store_const", const="average", dest="criterion")
    criterion.add_argument("--one-minus-gamma", type=float)
    criterion.add_argument("--horizon", type=int)
    parser.add_argument("--minimize", action="store_true")
    flags = parser.parse_args()
    flags.criterion = flags.criterion or ("finite" if flags.horizon is not None else "discounted")

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # where Storm warns
    lower, upper, seconds = ask_storm(flags)
    print(f"storm: {len(lower)} states, largest claimed error {np.max(upper - lower) / 2:.2g}, {seconds:.3f} CPU-s", file=out)
    wrong = 0
    for result in ask_berth(flags):
        ours = np.array([result["lower"], result["upper"]])
        if len(lower) != ours.shape[1]:
            raise SystemExit(f"states are {ours.shape[1]} for berth and {len(lower)} for storm")
        states = apart(*ours, lower, upper)
        # The check itself is checked: values that are off by more than the bounds are wide must be found.
        moved = ours + 2 * np.max(ours[1] - ours[0]) + 1e-9 * (1 + np.max(np.abs(ours)))
        if len(apart(*moved, *ours)) != len(lower):
            raise SystemExit("the check does not see values that are moved")
        wrong += len(states) > 0
        verdict = "agrees" if len(states) == 0 else f"is apart from storm in {len(states)} states, first {states[0]}"
        print(f"{result['method']}: {verdict}; error {result['error']:.2g}, {result['sweeps']} sweeps, {result['cpu_s']:.3f} CPU-s", file=out)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
