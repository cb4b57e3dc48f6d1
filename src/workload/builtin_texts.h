#ifndef BERTH_WORKLOAD_BUILTIN_TEXTS_H_
#define BERTH_WORKLOAD_BUILTIN_TEXTS_H_

#include <span>
#include <string_view>

namespace berth {

// The files of workloads/, put into the program by the build.
struct BuiltinText {
  std::string_view name;
  std::string_view text;
};
extern const std::span<const BuiltinText> kBuiltinTexts;

}  // namespace berth

#endif  // BERTH_WORKLOAD_BUILTIN_TEXTS_H_
