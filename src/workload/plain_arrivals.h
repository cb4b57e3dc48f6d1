// The arrivals of a workload file where they are written plainly, one a line, as WorkloadToYaml writes them: a stream of
// millions needs no YAML tree then, which would take fifty times as long and a hundred times the memory.
#ifndef BERTH_WORKLOAD_PLAIN_ARRIVALS_H_
#define BERTH_WORKLOAD_PLAIN_ARRIVALS_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "workload/workload.h"

namespace berth {

struct PlainArrivals {
  std::string_view head;                  // the text up to the line "arrivals:", with it
  std::vector<std::string_view> classes;  // their names, in order of first use
  std::vector<Arrival> arrivals;          // pod_class is an index into `classes`
};

// `text` split at its line "arrivals:", from which to the end every line is `- [time_us, name, life_us or forever]`, all
// indented alike, and nothing else. Nothing where that is not so, or a value is out of range: YAML's parser has to see it
// then, to accept it or to name the line. Whether that line is a key of the workload is for the reader of `head` to see: it
// may stand in a quoted text or behind the end of a document. Views point into `text`. Cost: O(size).
std::optional<PlainArrivals> SplitPlainArrivals(std::string_view text);

}  // namespace berth

#endif  // BERTH_WORKLOAD_PLAIN_ARRIVALS_H_
