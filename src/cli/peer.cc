#include "cli/peer.h"

#include <array>
#include <cstdio>

#include "base/status.h"

namespace berth::cli {
namespace {

std::string QuotedForShell(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

absl::StatusOr<nlohmann::json> RunPeer(const std::string& prefix, const std::string& python, const std::string& script,
                                       const std::vector<std::string>& arguments, const std::string& key,
                                       const std::string& accepted) {
  std::string command = prefix + (prefix.empty() ? "" : " ") + QuotedForShell(python) + " " + QuotedForShell(script);
  for (const std::string& argument : arguments) command += " " + QuotedForShell(argument);
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return absl::ResourceExhaustedError("no process is left");
  std::string text;
  std::array<char, 4096> buffer;
  for (size_t n = 0; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) text.append(buffer.data(), n);
  const int code = pclose(pipe);
  nlohmann::json answer = nlohmann::json::parse(text, nullptr, false);
  if (code != 0 || !answer.is_object() || !answer.contains(key)) return InvalidField("peers-python", python, accepted);
  return answer;
}

}  // namespace berth::cli
