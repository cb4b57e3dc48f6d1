#!/usr/bin/env python3
"""MaskablePPO of sb3-contrib on a plain NumPy environment of placing pods: what `berth bench train --peers` compares with.

Nodes of 16 vCPU and 32 GiB, four pod types, Poisson arrivals, exponential lives, load 0.95, a mask of the nodes that fit. Eight
environments, 128 steps each a rollout, batches of 256, 4 epochs, one thread. Prints one JSON object; CPU seconds are those of
learn() alone, after one rollout of warm-up.
"""
import argparse
import heapq
import json
import time

import gymnasium as gym
import numpy as np

PODS = np.array([[1, 2], [2, 4], [4, 16], [8, 8]], dtype=np.float64)  # vCPU, GiB
SHARES = np.array([0.4, 0.3, 0.2, 0.1])
NODE = np.array([16, 32], dtype=np.float64)
LOAD, LIFE = 0.95, 1.0


class Placement(gym.Env):
    """Action: a node. Observation: free shares of each node, the pod's shares of a node. Reward: minus the pod's share where it is lost."""

    def __init__(self, nodes, steps=1000):
        self.nodes, self.steps = nodes, steps
        self.action_space = gym.spaces.Discrete(nodes)
        self.observation_space = gym.spaces.Box(0.0, 1.0, (2 * nodes + 2,), np.float32)
        self.rate = LOAD * nodes * float(np.min(NODE / (SHARES @ PODS))) / LIFE

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.free = np.tile(NODE, (self.nodes, 1))
        self.ends, self.now, self.count = [], 0.0, 0
        self._next_that_fits()
        return self._observation(), {}

    def _next_that_fits(self):
        lost = 0.0
        while True:
            self.now += self.np_random.exponential(1 / self.rate)
            while self.ends and self.ends[0][0] <= self.now:
                _, node, kind = heapq.heappop(self.ends)
                self.free[node] += PODS[kind]
            self.kind = int(self.np_random.choice(4, p=SHARES))
            self.mask = np.all(self.free >= PODS[self.kind], axis=1)
            if self.mask.any():
                return lost
            lost += PODS[self.kind][0] / NODE[0]

    def _observation(self):
        return np.concatenate([(self.free / NODE).ravel(), PODS[self.kind] / NODE]).astype(np.float32)

    def action_masks(self):
        return self.mask

    def step(self, action):
        node = int(action)
        self.free[node] -= PODS[self.kind]
        heapq.heappush(self.ends, (self.now + self.np_random.exponential(LIFE), node, self.kind))
        self.count += 1
        lost = self._next_that_fits()
        return self._observation(), -lost, False, self.count >= self.steps, {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--steps", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    import sb3_contrib
    import torch
    from sb3_contrib import MaskablePPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    torch.set_num_threads(1)
    envs = DummyVecEnv([lambda: Placement(flags.nodes) for _ in range(8)])
    model = MaskablePPO("MlpPolicy", envs, n_steps=128, batch_size=256, n_epochs=4, seed=flags.seed, device="cpu")
    model.learn(8 * 128)
    before, steps = time.process_time(), model.num_timesteps
    model.learn(flags.steps, reset_num_timesteps=False)
    cpu_s = time.process_time() - before
    steps = model.num_timesteps - steps
    print(json.dumps({"name": "MaskablePPO", "sb3_contrib": sb3_contrib.__version__, "torch": torch.__version__, "nodes": flags.nodes,
                      "trained_steps": steps, "trained_steps_per_cpu_s": steps / cpu_s,
                      "parameters": sum(p.numel() for p in model.policy.parameters())}))


if __name__ == "__main__":
    main()
