#include "agent/crew.h"

#include "agent/bytes.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

std::string Packed(const absl::StatusOr<std::string>& answer) {
  BytesOut out;
  out(answer.ok(), answer.ok() ? int{0} : static_cast<int>(answer.status().code()), answer.ok() ? *answer : std::string(MessageOf(answer.status())));
  return out.Take();
}

absl::StatusOr<std::string> Unpacked(int rank, const std::string& bytes) {
  bool is_ok = false;
  int code = 0;
  std::string text;
  BytesIn in(bytes);
  in(is_ok, code, text);
  if (!in.is_whole()) return absl::InternalError(fmt::format("rank {}: an answer that is cut short", rank));
  if (is_ok) return text;
  return absl::Status(static_cast<absl::StatusCode>(code), fmt::format("rank {}: {}", rank, text));
}

}  // namespace

absl::StatusOr<std::vector<std::string>> Crew::Ask(TaskKind kind, const std::string& task, const std::function<absl::StatusOr<std::string>()>& own) {
  std::string message = std::string(1, static_cast<char>(kind)) + task;
  BERTH_RETURN_IF_ERROR(group_.Broadcast(&message));
  // Rank 0's own failure too is told only after the others' answers are in, for they are waiting to give them.
  const std::string answer = Packed(own());
  BERTH_ASSIGN_OR_RETURN(const auto packed, group_.Gather(answer));
  std::vector<std::string> answers;
  for (size_t r = 0; r < packed.size(); ++r) {
    BERTH_ASSIGN_OR_RETURN(answers.emplace_back(), Unpacked(static_cast<int>(r), packed[r]));
  }
  return answers;
}

void Crew::End(const absl::Status& status) {
  std::string message = std::string(1, static_cast<char>(TaskKind::kEnd)) + (status.ok() ? std::string() : std::string(MessageOf(status)));
  // Stays until all have heard it; who can't any more sees the connection close.
  if (group_.Broadcast(&message).ok()) (void)group_.Gather("");
}

absl::Status Serve(ProcessGroup* group, const std::function<absl::StatusOr<std::string>(TaskKind kind, std::string_view task)>& answer) {
  for (;;) {
    std::string message;
    BERTH_RETURN_IF_ERROR(group->Broadcast(&message));
    if (message.empty()) return absl::InternalError("rank 0 sent an empty task");
    const auto kind = static_cast<TaskKind>(message[0]);
    const std::string_view task = std::string_view(message).substr(1);
    if (kind == TaskKind::kEnd) (void)group->Gather("");
    if (kind == TaskKind::kEnd) return task.empty() ? absl::OkStatus() : absl::AbortedError(fmt::format("rank 0 ended: {}", std::string(task)));
    BERTH_RETURN_IF_ERROR(group->Gather(Packed(answer(kind, task))).status());
  }
}

}  // namespace berth
