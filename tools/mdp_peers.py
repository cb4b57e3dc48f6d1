#!/usr/bin/env python3
"""Public MDP solvers on one model file, for `berth bench mdp --peers`: QuantEcon's modified policy iteration and Storm's optimistic
value iteration. Each prints its own CPU seconds of one thread, solve alone (reading and compiling are not counted), and its error
against the reference values.

    pip install quantecon stormpy
    tools/mdp_peers.py --peer quantecon --model m.umb --reference ref.f64 --one-minus-gamma 0.01 --epsilon 1e-6
"""
import argparse
import io
import json
import resource
import sys
import tarfile
import time

import numpy as np


def arrays(path):
    with tarfile.open(path) as tar:
        files = {m.name.lstrip("./"): tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
    def get(name, kind):
        matches = [v for k, v in files.items() if k.startswith(name)]
        if len(matches) != 1:
            raise SystemExit(f"the file has {len(matches)} arrays named {name}, accepted: 1")
        return np.frombuffer(matches[0], kind)
    rewards = [v for k, v in files.items() if "rewards" in k and "choices" in k]
    return (get("state-to-choices", "<u8"), get("choice-to-branches", "<u8"), get("branch-to-target", "<u8"),
            get("branch-to-probability", "<f8"), np.frombuffer(rewards[0], "<f8"))


def quantecon(flags):
    import quantecon
    import scipy.sparse as sp
    from quantecon.markov import DiscreteDP
    states, rows, target, probability, reward = arrays(flags.model)
    n = len(states) - 1
    counts = np.diff(states).astype(np.int64)
    s_indices = np.repeat(np.arange(n), counts)
    a_indices = np.concatenate([np.arange(c) for c in counts])
    matrix = sp.csr_matrix((probability, target.astype(np.int32), rows.astype(np.int32)), shape=(len(reward), n))
    # Its own loops are compiled at the first use: on a small model, not counted.
    warm = DiscreteDP(np.ones(2), sp.csr_matrix(np.eye(2)), 0.5, np.array([0, 1]), np.array([0, 0]))
    warm.solve(method="mpi")
    ddp = DiscreteDP(reward, matrix, 1 - flags.one_minus_gamma, s_indices, a_indices)
    begin = time.process_time()
    result = ddp.solve(method="mpi", epsilon=flags.epsilon, k=flags.k)
    return {"version": quantecon.__version__, "method": f"modified policy iteration, k = {flags.k}", "cpu_s": time.process_time() - begin,
            "iterations": int(result.num_iter), "values": result.v, "bounds": None}


def storm(flags):
    import stormpy
    # Discount as a sink: Storm has bounds for total rewards only. gamma P, and 1 - gamma to a state of its own.
    states, rows, target, probability, reward = arrays(flags.model)
    n = len(states) - 1
    gamma = 1 - flags.one_minus_gamma
    builder = stormpy.SparseMatrixBuilder(rows=len(reward) + 1, columns=n + 1, entries=len(target) + len(reward) + 1, force_dimensions=True,
                                          has_custom_row_grouping=True, row_groups=n + 1)
    target, probability, rows, states = target.tolist(), probability.tolist(), rows.tolist(), states.tolist()
    for s in range(n):
        builder.new_row_group(states[s])
        for row in range(states[s], states[s + 1]):
            for i in sorted(range(rows[row], rows[row + 1]), key=target.__getitem__):
                builder.add_next_value(row, target[i], gamma * probability[i])
            builder.add_next_value(row, n, flags.one_minus_gamma)
    builder.new_row_group(len(reward))
    builder.add_next_value(len(reward), n, 1.0)
    labels = stormpy.StateLabeling(n + 1)
    for name, state in (("init", 0), ("goal", n)):
        labels.add_label(name)
        labels.add_label_to_state(name, state)
    rewards = stormpy.SparseRewardModel(optional_state_action_reward_vector=reward.tolist() + [0.0])
    model = stormpy.SparseMdp(stormpy.SparseModelComponents(transition_matrix=builder.build(), state_labeling=labels, reward_models={"r": rewards}))
    formula = stormpy.parse_properties('R{"r"}max=? [F "goal"]')[0].raw_formula
    env = stormpy.Environment()
    env.solver_environment.set_force_sound(True)
    env.solver_environment.minmax_solver_environment.method = stormpy.MinMaxMethod.optimistic_value_iteration
    env.solver_environment.minmax_solver_environment.precision = stormpy.Rational(flags.epsilon)
    begin = time.process_time()
    result = stormpy.model_checking(model, formula, environment=env)
    seconds = time.process_time() - begin
    values = np.array(result.get_values())[:n]
    return {"version": stormpy.__version__, "method": "optimistic value iteration", "cpu_s": seconds, "iterations": None, "values": values,
            "bounds": "lower and upper"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", choices=["quantecon", "quantecon-k10", "storm"], required=True, help="quantecon has its own default, k = 20 policy sweeps between greedy ones")
    parser.add_argument("--model", required=True, help="a .umb file")
    parser.add_argument("--reference", required=True, help="float64 values to compare with")
    parser.add_argument("--one-minus-gamma", type=float, required=True)
    parser.add_argument("--epsilon", type=float, default=1e-6)
    flags = parser.parse_args()
    flags.k = 10 if flags.peer == "quantecon-k10" else 20
    answer = storm(flags) if flags.peer == "storm" else quantecon(flags)
    reference = np.fromfile(flags.reference, "<f8")
    answer["error"] = float(np.max(np.abs(answer.pop("values") - reference)))
    answer["peer"] = flags.peer
    answer["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(answer))


if __name__ == "__main__":
    sys.exit(main())
