// mailbox: the mails of a file (one mail, or an mbox; compressed too) or of a Maildir.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bounced/result.h"

namespace bounced::ingest {

/// One mail as it stands in its place.
struct Mail {
  std::string bytes;            ///< at most MailReader::kBytesMax; what follows is not read
  std::string path;             ///< the file that holds it
  std::uint64_t offset = 0;     ///< of the mail in that file (uncompressed)
  std::int64_t arrived_us = 0;  ///< when the file was last written; 0 = not known
};

/// Reads front to back, bounded memory. Not thread safe. A Maildir's `new` and `cur` are read in
/// the order of their names; files that are gone by their turn are left out.
class MailReader {
 public:
  static constexpr std::size_t kBytesMax = std::size_t{512} << 10;

  /// "-" is standard input. Errors name the path.
  static Result<std::unique_ptr<MailReader>> open(const std::string& path);
  ~MailReader();
  /// False at the end.
  Result<bool> next(Mail& out);

 private:
  MailReader();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A file that is one mail, whatever its first line looks like; its first MailReader::kBytesMax
/// bytes. Errors: not_found, io.
Result<Mail> read_mail_file(const std::string& path);

/// Whether the path is a Maildir: a folder with `cur` and `new`.
bool is_maildir(const std::string& path);
/// The first bytes of a file (uncompressed), to tell what it is; empty where it cannot be read, or
/// is no regular file.
std::string read_head(const std::string& path, std::size_t bytes);

}  // namespace bounced::ingest
