package main

import (
	"fmt"
	"math/rand"
	"sort"
)

// drawsBeforeRanks is how many numbers the published runs took from the generator between the last pod and the node
// ranks. The simulator's own code does not show them. The count was found by matching the published curves.
const drawsBeforeRanks = 10

// maxArrivals bounds one arrival order, so that a list with next to no GPU demand cannot inflate without end.
const maxArrivals = 2_000_000

// pod is the part of a pod row that decides the order.
type pod struct {
	name     string
	gpuMilli int64 // asked of each GPU, 1/1000 GPU; 0 when numGPU is 0
	numGPU   int64
}

func (p pod) totalGPUMilli() int64 { return p.numGPU * p.gpuMilli }

// order is one run: which pods arrive, and how nodes are ranked.
type order struct {
	// arrival holds data-row numbers of the pod list, from 0, in order of arrival. A number repeats when a pod was cloned.
	arrival []int
	// nodeRank[i] is the rank of the node at data row i. Equal scores are won by the lowest rank.
	nodeRank []int
}

// makeOrder draws one run from the seed, in the exact sequence of the published runs:
// one number thrown away, the shuffle, the change of size, drawsBeforeRanks numbers thrown away, the ranks.
//
// target is the GPU demand to reach, in 1/1000 GPU; a target of 0 leaves the size of the list alone.
// The generator is Go's math/rand as rand.Seed made it up to Go 1.23; rand.NewSource gives the same stream in every
// version, and a test pins its first numbers.
//
// Cost: O(arrivals) when the list grows, O(deleted * pods) moved numbers when it shrinks.
func makeOrder(pods []pod, nodes int, target float64, seed int64) (order, error) {
	rng := rand.New(rand.NewSource(seed))
	rng.Int()

	byName := make([]int, len(pods))
	for i := range byName {
		byName[i] = i
	}
	sort.Slice(byName, func(a, b int) bool { return pods[byName[a]].name < pods[byName[b]].name })

	arrival := append([]int(nil), byName...)
	rng.Shuffle(len(arrival), func(a, b int) { arrival[a], arrival[b] = arrival[b], arrival[a] })

	if target > 0 {
		var demand int64
		for _, p := range pods {
			demand += p.totalGPUMilli()
		}
		var err error
		switch {
		case demand == 0:
			return order{}, fmt.Errorf("--pods: the sum of num_gpu x gpu_milli is 0; accepted with --tune above 0: at least 1")
		case float64(demand) > target:
			arrival = shrink(arrival, pods, demand, target, rng)
		case float64(demand) < target:
			arrival, err = grow(arrival, byName, pods, demand, target, rng)
		}
		if err != nil {
			return order{}, err
		}
	}

	for i := 0; i < drawsBeforeRanks; i++ {
		rng.Int()
	}
	return order{arrival: arrival, nodeRank: rng.Perm(nodes)}, nil
}

// shrink deletes pods drawn uniformly until the demand is not above the target.
func shrink(arrival []int, pods []pod, demand int64, target float64, rng *rand.Rand) []int {
	for float64(demand) > target {
		i := rng.Intn(len(arrival))
		demand -= pods[arrival[i]].totalGPUMilli()
		arrival = append(arrival[:i], arrival[i+1:]...)
	}
	return arrival
}

// grow appends clones of pods drawn uniformly from the list sorted by name. It stops at the first draw whose share of
// ONE GPU would pass the target, though all its GPUs are added: the published runs did so, and a run may thus end above
// the target.
func grow(arrival, byName []int, pods []pod, demand int64, target float64, rng *rand.Rand) ([]int, error) {
	for {
		row := byName[rng.Intn(len(byName))]
		if float64(demand+pods[row].gpuMilli) > target {
			return arrival, nil
		}
		if len(arrival) >= maxArrivals {
			return nil, fmt.Errorf("--tune: the order passes %d arrivals with %d of %.0f milli-GPU reached; accepted: at most %d arrivals",
				maxArrivals, demand, target, maxArrivals)
		}
		demand += pods[row].totalGPUMilli()
		arrival = append(arrival, row)
	}
}
