#include "adapters/kubernetes/api_client.h"

#include <curl/curl.h>

#include <cctype>
#include <fstream>
#include <mutex>
#include <utility>

#include "adapters/kubernetes/json.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth::kubernetes {
namespace {

constexpr size_t kMaxIdle = 32;

void GlobalInit() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

curl_blob Blob(const std::string& text) {
  curl_blob blob;
  blob.data = const_cast<char*>(text.data());   // copied by libcurl
  blob.len = text.size();
  blob.flags = CURL_BLOB_COPY;
  return blob;
}

}  // namespace

struct ApiClient::Handle {
  Handle() : easy(curl_easy_init()) {}
  ~Handle() { curl_easy_cleanup(easy); }
  CURL* const easy;
};

// What arrives of one call.
struct ApiClient::Transfer {
  const ApiClient* client = nullptr;
  CURL* easy = nullptr;
  Answer answer;
  const std::function<bool(std::string_view)>* line = nullptr;
  std::string part;             // of a line
  bool is_ended_by_caller = false, is_too_large = false;

  static size_t Write(char* data, size_t, size_t size, void* self) { return static_cast<Transfer*>(self)->Take({data, size}) ? size : 0; }
  static int Progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->client->is_cancelled() ? 1 : 0;
  }

  bool Take(std::string_view data) {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (line == nullptr || status < 200 || status >= 300) {
      is_too_large = answer.body.size() + data.size() > static_cast<size_t>(client->options_.max_answer_bytes);
      if (!is_too_large) answer.body += data;
      return !is_too_large;
    }
    while (!data.empty()) {
      const size_t end = data.find('\n');
      const std::string_view piece = data.substr(0, end);
      if (part.size() + piece.size() > client->options_.max_line_bytes) {
        is_too_large = true;
        return false;
      }
      if (end == std::string_view::npos) {
        part += piece;
        return true;
      }
      bool is_wanted = true;
      if (part.empty()) {
        if (!piece.empty()) is_wanted = (*line)(piece);
      } else {
        part += piece;
        is_wanted = (*line)(part);
        part.clear();
      }
      if (!is_wanted) {
        is_ended_by_caller = true;
        return false;
      }
      data.remove_prefix(end + 1);
    }
    return true;
  }
};

ApiClient::ApiClient(Credentials credentials, Options options) : credentials_(std::move(credentials)), options_(options) { GlobalInit(); }
ApiClient::~ApiClient() = default;

std::unique_ptr<ApiClient::Handle> ApiClient::Acquire() {
  absl::MutexLock lock(&mu_);
  if (idle_.empty()) return std::make_unique<Handle>();
  std::unique_ptr<Handle> handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

void ApiClient::Give(std::unique_ptr<Handle> handle) {
  curl_easy_reset(handle->easy);   // keeps the connection
  absl::MutexLock lock(&mu_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(handle));
}

absl::Status ApiClient::Perform(Handle& handle, const char* method, const std::string& path, std::string_view body, const char* content_type,
                                int64_t timeout_ms, bool is_packed, Transfer* transfer) {
  if (is_cancelled()) return absl::CancelledError("the client is shutting down");
  CURL* const easy = handle.easy;
  if (easy == nullptr) return absl::ResourceExhaustedError("out of memory for a connection");
  const auto set = [&](auto option, auto value) { curl_easy_setopt(easy, option, value); };
  const std::string url = credentials_.server + path;
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_NOPROXY, "*");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TCP_NODELAY, 1L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_TCP_KEEPIDLE, 15L);
  set(CURLOPT_TCP_KEEPINTVL, 5L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout_ms));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_ms));
  if (is_packed) set(CURLOPT_ACCEPT_ENCODING, "gzip");
  set(CURLOPT_USERAGENT, "berth");
  if (credentials_.skip_tls_verify) {
    set(CURLOPT_SSL_VERIFYPEER, 0L);
    set(CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (!credentials_.ca_pem.empty()) {
    curl_blob blob = Blob(credentials_.ca_pem);
    set(CURLOPT_CAINFO_BLOB, &blob);
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  if (!credentials_.certificate_pem.empty()) {
    curl_blob certificate = Blob(credentials_.certificate_pem), key = Blob(credentials_.key_pem);
    set(CURLOPT_SSLCERT_BLOB, &certificate);
    set(CURLOPT_SSLKEY_BLOB, &key);
  }
  std::string token = credentials_.token;
  if (!credentials_.token_file.empty()) {
    std::ifstream in(credentials_.token_file);
    std::getline(in, token);
    if (token.empty()) return absl::UnavailableError(fmt::format("the token file {} can't be read or is empty", Quoted(credentials_.token_file)));
  }
  curl_slist* headers = nullptr;
  const auto add = [&](const std::string& header) { headers = curl_slist_append(headers, header.c_str()); };
  if (!token.empty()) add("Authorization: Bearer " + token);
  add("Accept: application/json");
  add("Expect:");
  if (!body.empty()) {
    add(fmt::format("Content-Type: {}", content_type));
    set(CURLOPT_POSTFIELDS, body.data());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  }
  set(CURLOPT_CUSTOMREQUEST, method);
  set(CURLOPT_HTTPHEADER, headers);
  transfer->client = this;
  transfer->easy = easy;
  set(CURLOPT_WRITEFUNCTION, &Transfer::Write);
  set(CURLOPT_WRITEDATA, transfer);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::Progress);
  set(CURLOPT_XFERINFODATA, transfer);
  const CURLcode code = curl_easy_perform(easy);
  curl_slist_free_all(headers);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  transfer->answer.status = static_cast<int>(status);
  if (code == CURLE_OK || transfer->is_ended_by_caller) return absl::OkStatus();
  if (is_cancelled()) return absl::CancelledError("the client is shutting down");
  if (transfer->is_too_large) return absl::ResourceExhaustedError(fmt::format("{} {}: the answer is larger than accepted", method, path));
  const std::string message = fmt::format("{} {}{}: {}", method, credentials_.server, path, curl_easy_strerror(code));
  if (code == CURLE_OPERATION_TIMEDOUT) return absl::DeadlineExceededError(message);
  return absl::UnavailableError(message);
}

absl::StatusOr<ApiClient::Answer> ApiClient::Call(const char* method, const std::string& path, std::string_view body, const char* content_type,
                                                  int64_t timeout_ms) {
  std::unique_ptr<Handle> handle = Acquire();
  Transfer transfer;
  const absl::Status status = Perform(*handle, method, path, body, content_type, timeout_ms, true, &transfer);
  if (!status.ok()) return status;   // the handle goes, and its connection with it
  Give(std::move(handle));
  return std::move(transfer.answer);
}

absl::StatusOr<ApiClient::Answer> ApiClient::Stream(const std::string& path, int64_t timeout_ms, const std::function<bool(std::string_view)>& line) {
  const std::unique_ptr<Handle> handle = Acquire();
  Transfer transfer;
  transfer.line = &line;
  BERTH_RETURN_IF_ERROR(Perform(*handle, "GET", path, {}, "", timeout_ms, false, &transfer));
  return std::move(transfer.answer);
}

std::string ApiMessage(const ApiClient::Answer& answer) {
  simdjson::dom::parser parser;
  if (const auto object = ParseObject(parser, answer.body, "body"); object.ok()) {
    if (const auto message = FindString(*object, "message", Where{}); message.ok() && !message->empty()) return std::string(message->substr(0, 512));
  }
  return fmt::format("HTTP {}: {}", answer.status, Quoted(answer.body));
}

std::string UrlEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') out += c;
    else out += fmt::format("%{:02X}", byte);
  }
  return out;
}

}  // namespace berth::kubernetes
