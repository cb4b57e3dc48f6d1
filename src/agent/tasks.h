// The fields of what goes between the processes of a run (bytes.h).
#ifndef BERTH_AGENT_TASKS_H_
#define BERTH_AGENT_TASKS_H_

#include "agent/arena.h"
#include "agent/bytes.h"
#include "agent/rollout.h"

namespace berth {

template <class Io>
void Fields(Io& io, NetworkWeights& w) {
  io(w.linear, w.hidden, w.mlp_sees_mix, w.w1, w.b1, w.w2, w.b2, w.w3, w.classes, w.class_models, w.experts, w.expert_shapes);
}

template <class Io>
void Fields(Io& io, Players& p) {
  io(p.weights, p.rules);
}

template <class Io>
void Fields(Io& io, RolloutOptions& o) {
  io(o.loads, o.groups, o.first_group, o.rollouts, o.decisions, o.candidates, o.tau, o.teacher_acts);
}

template <class Io>
void Fields(Io& io, Rollout& r) {
  io(r.mix, r.mix_shape, r.states, r.after, r.before, r.base, r.teacher, r.epochs, r.is_terminated, r.last_context, r.end_us);
}

}  // namespace berth

#endif  // BERTH_AGENT_TASKS_H_
