#include "mdp/files/tar.h"

#include <archive.h>
#include <archive_entry.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "fmt/format.h"

namespace berth::mdp::internal {
namespace {

constexpr int64_t kTarBlockBytes = 512;

struct FreeReader {
  void operator()(archive* a) const { archive_read_free(a); }
};
struct FreeEntry {
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};

absl::Status NoTar(archive* a) {
  const char* why = archive_error_string(a);
  return absl::InvalidArgumentError(fmt::format("archive: {}, accepted: a whole tar file, plain or under gzip or xz",
                                                Quoted(why != nullptr ? why : "not readable")));
}

}  // namespace

absl::StatusOr<TarEntries> ReadTar(const std::string& path, int64_t max_bytes,
                                   const std::function<bool(std::string_view)>& is_wanted) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::NotFoundError("archive can't be opened");
  if (std::filesystem::is_directory(path, error)) return InvalidField("archive", "a folder", "a file");
  const std::unique_ptr<archive, FreeReader> reader(archive_read_new());
  archive* const a = reader.get();
  if (a == nullptr) return absl::ResourceExhaustedError("archive: no memory");
  archive_read_support_format_tar(a);
  archive_read_support_filter_gzip(a);
  archive_read_support_filter_xz(a);
  if (archive_read_open_filename(a, path.c_str(), 1 << 18) != ARCHIVE_OK) return NoTar(a);
  const auto too_large = [&] {
    return absl::ResourceExhaustedError(fmt::format("archive: accepted: up to {} bytes unpacked", max_bytes));
  };
  TarEntries entries;
  int64_t end_of_last = 0;  // in the unpacked tar
  for (;;) {
    archive_entry* entry = nullptr;
    const int got = archive_read_next_header(a, &entry);
    if (archive_filter_bytes(a, 0) > max_bytes) return too_large();
    if (got == ARCHIVE_EOF) break;
    if (got != ARCHIVE_OK) return NoTar(a);
    const char* raw_name = archive_entry_pathname(entry);
    std::string_view name = raw_name != nullptr ? raw_name : "";
    if (name.substr(0, 2) == "./") name.remove_prefix(2);
    if (name.substr(0, 1) == "/") name.remove_prefix(1);
    const int64_t size = archive_entry_size(entry);
    if (size < 0 || size > max_bytes) return too_large();
    end_of_last = archive_read_header_position(a) + kTarBlockBytes * (1 + (size + kTarBlockBytes - 1) / kTarBlockBytes);
    if (archive_entry_filetype(entry) != AE_IFREG || !is_wanted(name)) continue;
    const auto [it, is_new] = entries.try_emplace(std::string(name));
    if (!is_new) return InvalidField("archive entry", name, "each name once");
    for (;;) {
      const void* block = nullptr;
      size_t bytes = 0;
      la_int64_t offset = 0;
      const int read = archive_read_data_block(a, &block, &bytes, &offset);
      if (read == ARCHIVE_EOF) break;
      if (read != ARCHIVE_OK) return NoTar(a);
      // A hole costs nothing in the file and all in memory.
      if (static_cast<size_t>(offset) != it->second.size()) return InvalidField("archive entry", name, "no holes");
      if (archive_filter_bytes(a, 0) > max_bytes) return too_large();
      it->second.append(static_cast<const char*>(block), bytes);
    }
    if (it->second.size() != static_cast<size_t>(size)) return InvalidField("archive entry", name, "no holes");
  }
  // libarchive takes the end of the file for the end of the tar; without the mark, entries may be missing.
  if (archive_filter_bytes(a, 0) < end_of_last + kTarBlockBytes) {
    return absl::InvalidArgumentError("archive: the end mark is missing, accepted: a whole tar file");
  }
  return entries;
}

void TarWriter::Free::operator()(archive* a) const { archive_write_free(a); }

TarWriter::TarWriter(const std::string& path) : archive_(archive_write_new()) {
  is_good_ = archive_ != nullptr && archive_write_set_format_ustar(archive_.get()) == ARCHIVE_OK &&
             archive_write_open_filename(archive_.get(), path.c_str()) == ARCHIVE_OK;
}

void TarWriter::Add(const std::string& name, std::string_view bytes) {
  const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
  is_good_ = is_good_ && entry != nullptr;
  if (!is_good_) return;
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(bytes.size()));
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_mtime(entry.get(), 0, 0);
  is_good_ = archive_write_header(archive_.get(), entry.get()) == ARCHIVE_OK &&
             archive_write_data(archive_.get(), bytes.data(), bytes.size()) == static_cast<la_ssize_t>(bytes.size());
}

absl::Status TarWriter::Close() {
  if (is_good_ && archive_write_close(archive_.get()) == ARCHIVE_OK) return absl::OkStatus();
  return absl::FailedPreconditionError("archive can't be written");
}

}  // namespace berth::mdp::internal
