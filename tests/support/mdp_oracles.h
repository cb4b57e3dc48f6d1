// The small decision processes with exact answers of the shared data (mdp-oracles, format mdp-oracle-1).
#ifndef BERTH_TESTS_SUPPORT_MDP_ORACLES_H_
#define BERTH_TESTS_SUPPORT_MDP_ORACLES_H_

#include <string>

namespace berth::test {

inline constexpr const char* kMdpOracles[] = {
    "ties-discounted",  "near-one-discounted", "absorbing-shortest-path", "unreachable-discounted",
    "average-unichain", "average-multichain",  "bound-trap-total",        "finite-horizon-25"};

// As the name of a parametrised test.
inline std::string OracleTestName(std::string oracle) {
  for (char& c : oracle) c = c == '-' ? '_' : c;
  return oracle;
}

}  // namespace berth::test

#endif  // BERTH_TESTS_SUPPORT_MDP_ORACLES_H_
