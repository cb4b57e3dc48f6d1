// Errors are absl::Status. A message names the field, the value and what is accepted; never a path of the code or a pointer.
#ifndef BERTH_BASE_STATUS_H_
#define BERTH_BASE_STATUS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth {

// The value as it may stand in a message: cut at 64 bytes, control bytes and broken UTF-8 shown as \xNN, in quotes.
std::string Quoted(std::string_view value);

// INVALID_ARGUMENT "<field> is "<value>", accepted: <accepted>".
absl::Status InvalidField(std::string_view field, std::string_view value, std::string_view accepted);

// The same error with "<where>: " in front of its message.
absl::Status WithContext(const absl::Status& status, std::string_view where);

// The message of an error for people: "OK" or the text, without the code.
std::string_view MessageOf(const absl::Status& status);

#define BERTH_CONCAT_INNER(a, b) a##b
#define BERTH_CONCAT(a, b) BERTH_CONCAT_INNER(a, b)
#define BERTH_RETURN_IF_ERROR(expression) BERTH_RETURN_IF_ERROR_IMPL(BERTH_CONCAT(berth_status_, __LINE__), expression)
#define BERTH_RETURN_IF_ERROR_IMPL(name, expression) \
  do {                                               \
    absl::Status name = (expression);                \
    if (!name.ok()) return name;                     \
  } while (false)

// BERTH_ASSIGN_OR_RETURN(auto value, Fallible());
#define BERTH_ASSIGN_OR_RETURN(declaration, expression) \
  BERTH_ASSIGN_OR_RETURN_IMPL(BERTH_CONCAT(berth_or_, __LINE__), declaration, expression)
#define BERTH_ASSIGN_OR_RETURN_IMPL(name, declaration, expression) \
  auto name = (expression);                                        \
  if (!name.ok()) return name.status();                            \
  declaration = *std::move(name)

}  // namespace berth

#endif  // BERTH_BASE_STATUS_H_
