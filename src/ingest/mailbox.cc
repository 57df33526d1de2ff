#include "ingest/mailbox.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/mbox.h"
#include "ingest/input.h"
#include "ingest/lines.h"

namespace bounced::ingest {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = std::size_t{64} << 10;

struct ReadInput {
  std::unique_ptr<Input> input;
  Result<std::size_t> operator()(char* out, std::size_t size, std::uint64_t offset) const {
    return input->read(out, size, offset);
  }
};

std::vector<std::string> files_of_maildir(const std::string& path) {
  std::vector<std::string> files;
  for (const char* folder : {"cur", "new"}) {
    std::error_code unreadable;
    for (const auto& entry : fs::directory_iterator(fs::path(path) / folder, unreadable)) {
      std::error_code gone;
      if (entry.is_regular_file(gone) && entry.path().filename().string().front() != '.') {
        files.push_back(entry.path().string());
      }
    }
  }
  std::sort(files.begin(), files.end(), [](const std::string& a, const std::string& b) {
    return fs::path(a).filename() < fs::path(b).filename();
  });
  return files;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of("\r\n") == std::string_view::npos;
}

}  // namespace

struct MailReader::Impl {
  std::string path;                ///< of the file in progress
  std::vector<std::string> files;  ///< of a Maildir, still to come, the next one last
  bool maildir = false;
  std::unique_ptr<Lines<ReadInput>> lines;
  std::int64_t written_us = 0;  ///< of that file
  std::string first;            ///< line that was read ahead: the first of the next mail
  std::uint64_t first_offset = 0;
  bool mbox = false;

  Result<void> begin(const std::string& file) {
    auto input = Input::open(file);
    if (!input) return tl::unexpected(input.error());
    path = file;
    written_us = (*input)->info().mtime_us;
    lines = std::make_unique<Lines<ReadInput>>(ReadInput{std::move(*input)});
    auto line = lines->next();
    if (!line) return tl::unexpected(line.error());
    first = std::string(*line);
    first_offset = 0;
    mbox = !maildir && is_mbox_separator(first);
    return {};
  }

  /// The mail that begins with `first`.
  Result<void> read(Mail& out) {
    out.bytes.clear();
    out.path = path;
    out.offset = first_offset;
    out.arrived_us = written_us;
    if (!mbox) out.bytes = first;
    first.clear();
    bool blank = false;
    for (;;) {
      const std::uint64_t at = lines->offset();
      auto line = lines->next();
      if (!line) return tl::unexpected(line.error());
      if (line->empty()) return {};
      if (mbox && blank && is_mbox_separator(*line)) {
        first = std::string(*line);
        first_offset = at;
        return {};
      }
      blank = is_blank(*line);
      if (out.bytes.size() < kBytesMax)
        out.bytes.append(line->substr(0, kBytesMax - out.bytes.size()));
    }
  }
};

MailReader::MailReader() : impl_(std::make_unique<Impl>()) {}
MailReader::~MailReader() = default;

Result<std::unique_ptr<MailReader>> MailReader::open(const std::string& path) {
  std::unique_ptr<MailReader> reader(new MailReader);
  Impl& m = *reader->impl_;
  if (is_maildir(path)) {
    m.maildir = true;
    m.files = files_of_maildir(path);
    std::reverse(m.files.begin(), m.files.end());
    return reader;
  }
  if (auto begun = m.begin(path); !begun) return tl::unexpected(begun.error());
  return reader;
}

Result<bool> MailReader::next(Mail& out) {
  Impl& m = *impl_;
  while (m.first.empty()) {
    if (m.files.empty()) return false;
    const std::string file = std::move(m.files.back());
    m.files.pop_back();
    std::error_code unknown;
    if (!fs::exists(file, unknown)) continue;  // moved or removed meanwhile
    if (auto begun = m.begin(file); !begun) return tl::unexpected(begun.error());
  }
  if (auto read = m.read(out); !read) return tl::unexpected(read.error());
  return true;
}

Result<Mail> read_mail_file(const std::string& path) {
  std::error_code unknown;
  if (!fs::exists(path, unknown)) return fail(ErrorCode::not_found, "read", path, "is gone");
  Mail mail;
  auto input = Input::open(path);
  if (!input) return tl::unexpected(input.error());
  mail.path = path;
  mail.arrived_us = (*input)->info().mtime_us;
  for (std::size_t size = 0; size < MailReader::kBytesMax;) {
    const std::size_t room = std::min(kReadBytes, MailReader::kBytesMax - size);
    mail.bytes.resize(size + room);
    auto got = (*input)->read(mail.bytes.data() + size, room, size);
    if (!got) return tl::unexpected(got.error());
    size += *got;
    mail.bytes.resize(size);
    if (*got == 0) break;
  }
  return mail;
}

bool is_maildir(const std::string& path) {
  std::error_code unknown;
  return fs::is_directory(fs::path(path) / "cur", unknown) &&
         fs::is_directory(fs::path(path) / "new", unknown);
}

std::string read_head(const std::string& path, std::size_t bytes) {
  std::error_code unknown;
  if (path == "-" || !fs::is_regular_file(path, unknown)) return {};
  auto input = Input::open(path);
  if (!input) return {};
  std::string head(bytes, '\0');
  std::size_t size = 0;
  while (size < bytes) {
    auto got = (*input)->read(head.data() + size, bytes - size, size);
    if (!got || *got == 0) break;
    size += *got;
  }
  head.resize(size);
  return head;
}

}  // namespace bounced::ingest
