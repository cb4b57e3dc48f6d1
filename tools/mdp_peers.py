#!/usr/bin/env python3
"""Public MDP solvers on one model file, for `berth bench mdp --peers`: QuantEcon's modified policy iteration and Storm's optimistic
value iteration. Each prints its own CPU seconds of one thread, solve alone (reading and compiling are not counted), and its error
against the reference values; Storm also whether its bounds hold them.

    pip install quantecon==0.11.4 stormpy==2.0.0
    tools/mdp_peers.py --peer quantecon --model m.umb --reference ref.f64 --one-minus-gamma 0.01 --epsilon 1e-6
"""
import argparse
import io
import json
import os
import resource
import sys
import tarfile
import tempfile
import time

import numpy as np


def read_umb(path):
    """The arrays of a model of probabilities that Berth wrote: state_begin, row_begin, target, probability, reward."""
    with tarfile.open(path) as tar:
        files = {m.name.removeprefix("./"): tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}

    def get(name, kind):
        matches = [v for k, v in files.items() if k.startswith(name)]
        if len(matches) != 1:
            raise SystemExit(f"arrays named {name}: {len(matches)}, accepted: 1")
        return np.frombuffer(matches[0], kind)

    return (get("state-to-choices", "<u8").astype(np.int64), get("choice-to-branches", "<u8").astype(np.int64),
            get("branch-to-target", "<u8").astype(np.int64), get("branch-to-probability", "<f8"),
            get("annotations/rewards/", "<f8"))


def write_umb(path, states, rows, target, probability, reward, absorbing):
    """An MDP of probabilities with one reward structure, "reward", and the label "absorbing"."""
    n = len(states) - 1

    def bits(members):
        flags = np.zeros((n + 63) // 64 * 64, bool)
        flags[members] = True
        return np.packbits(flags, bitorder="little").tobytes()

    real = {"type": "double"}
    index = {"format-version": 1, "format-revision": 0, "model-data": {"name": "sink form"}, "file-data": {"tool": "Berth"},
             "transition-system": {"time": "discrete", "#players": 1, "#states": n, "#initial-states": 1, "#choices": len(reward),
                                   "#choice-actions": 0, "#branches": len(target), "#branch-actions": 0, "#observations": 0,
                                   "branch-probability-type": real},
             "annotations": {"rewards": {"reward": {"alias": "reward", "applies-to": ["choices"], "type": real}},
                             "aps": {"absorbing": {"alias": "absorbing", "applies-to": ["states"], "type": {"type": "bool"}}}}}
    with tarfile.open(path, "w") as tar:
        for name, data in (("index.json", json.dumps(index).encode()), ("state-to-choices.bin", states.astype("<u8").tobytes()),
                           ("state-is-initial.bin", bits([0])), ("choice-to-branches.bin", rows.astype("<u8").tobytes()),
                           ("branch-to-target.bin", target.astype("<u8").tobytes()),
                           ("branch-to-probability.bin", probability.astype("<f8").tobytes()),
                           ("annotations/rewards/reward/choices/values.bin", reward.astype("<f8").tobytes()),
                           ("annotations/aps/absorbing/states/values.bin", bits(absorbing))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def sink_form(arrays, one_minus_gamma):
    """Storm has bounds for total rewards only: gamma P, and what it lacks to one goes to a state of its own, the last."""
    states, rows, target, probability, reward = arrays
    n = len(states) - 1
    return (np.append(states, states[-1] + 1), np.append(rows + np.arange(len(rows)), rows[-1] + len(reward) + 1),
            np.append(np.insert(target, rows[1:], n), n),
            np.append(np.insert(probability * (1 - one_minus_gamma), rows[1:], one_minus_gamma), 1.0), np.append(reward, 0.0), [n])


def storm_solve(path, formula, epsilon):
    """Values, lower and upper bounds of the model's states by optimistic value iteration, and the CPU seconds it took."""
    import stormpy
    from stormpy.environments import MinMaxMethod
    model = stormpy.build_model_from_umb(path)
    environment = stormpy.Environment()
    solver = environment.solver()
    solver.force_soundness = True
    min_max = solver.min_max()
    min_max.method = MinMaxMethod.OPTIMISTIC_VALUE_ITERATION
    min_max.relative_termination_criterion = False
    min_max.precision = stormpy.Rational(epsilon)
    prop = stormpy.parse_properties(formula)[0]
    begin = time.process_time()
    result = stormpy.model_checking(model, prop, environment=environment)
    seconds = time.process_time() - begin
    found = [result[s] for s in range(model.nr_states)]
    return np.array([[b.value, b.lower, b.upper] for b in found], float).T, seconds


def quantecon(flags):
    import quantecon
    import scipy.sparse as sp
    from quantecon.markov import DiscreteDP
    states, rows, target, probability, reward = read_umb(flags.model)
    n = len(states) - 1
    counts = np.diff(states)
    s_indices = np.repeat(np.arange(n), counts)
    a_indices = np.arange(len(reward)) - np.repeat(states[:-1], counts)
    matrix = sp.csr_matrix((probability, target.astype(np.int32), rows.astype(np.int32)), shape=(len(reward), n))
    # Its own loops are compiled at the first use: on a small model, not counted.
    warm = DiscreteDP(np.ones(2), sp.csr_matrix(np.eye(2)), 0.5, np.array([0, 1]), np.array([0, 0]))
    warm.solve(method="mpi")
    ddp = DiscreteDP(reward, matrix, 1 - flags.one_minus_gamma, s_indices, a_indices)
    seconds = []
    for _ in range(flags.repeats):
        begin = time.process_time()
        result = ddp.solve(method="mpi", epsilon=flags.epsilon, k=flags.k)
        seconds.append(time.process_time() - begin)
    return {"version": quantecon.__version__, "method": f"modified policy iteration, k = {flags.k}", "cpu_s": float(np.median(seconds)),
            "cpu_s_min": min(seconds), "iterations": int(result.num_iter), "values": result.v, "bounds": None}


def storm(flags):
    import stormpy
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sink.umb")
        write_umb(path, *sink_form(read_umb(flags.model), flags.one_minus_gamma))
        (values, lower, upper), seconds = storm_solve(path, 'R{"reward"}max=? [F "absorbing"]', flags.epsilon)
    return {"version": stormpy.__version__, "method": "optimistic value iteration", "cpu_s": seconds, "iterations": None,
            "values": values[:-1], "bounds": "lower and upper", "lower": lower[:-1], "upper": upper[:-1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", choices=["quantecon", "quantecon-k10", "storm"], required=True, help="quantecon has its own default, k = 20 policy sweeps between greedy ones")
    parser.add_argument("--model", required=True, help="a .umb file")
    parser.add_argument("--reference", required=True, help="float64 values to compare with")
    parser.add_argument("--one-minus-gamma", type=float, required=True)
    parser.add_argument("--epsilon", type=float, default=1e-6)
    parser.add_argument("--repeats", type=int, default=1, help="QuantEcon solves so often; the median is printed")
    flags = parser.parse_args()
    # Storm warns on stdout, where the answer has to stand alone.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    flags.k = 10 if flags.peer == "quantecon-k10" else 20
    answer = storm(flags) if flags.peer == "storm" else quantecon(flags)
    reference = np.fromfile(flags.reference, "<f8")
    answer["error"] = float(np.max(np.abs(answer.pop("values") - reference)))
    if answer["bounds"] is not None:
        lower, upper = answer.pop("lower"), answer.pop("upper")
        answer["claimed_error"] = float(np.max(upper - lower) / 2)
        # Both sides round: 1e-12 of the value is not held against anybody.
        slack = 1e-12 * np.abs(reference)
        answer["are_bounds_true"] = bool(np.all((lower <= reference + slack) & (reference - slack <= upper)))
    answer["peer"] = flags.peer
    answer["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    sys.exit(main())
