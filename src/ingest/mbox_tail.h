// mbox_tail: the mails that an mbox gains while an MTA's local delivery appends to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"
#include "ingest/ingest.h"
#include "ingest/mailbox.h"

namespace bounced::ingest {

/// Follows one mbox (RFC 4155; mboxo, mboxrd). A mail is handed out once it is whole: a separator
/// follows behind a blank line, or the file has not grown for `settle_us` and ends with a blank
/// line, or (its writer died) has not grown for `torn_us`.
///
/// Where reading goes on is a Position by content (head, tail, offset), as of logs. A file that no
/// position fits (new, emptied, shrunk, rewritten by a mail reader) is read from its start: what
/// was taken before is known by its content, which is handed out without what mail readers change
/// (Status and the like). Mails in such a file that are older than `old_us` are left out: nobody
/// would know any more that they were taken.
///
/// A file that was renamed, or copied and emptied, is read to its end first: it is held open, or it
/// is looked for among the siblings (by the position, as for logs; compressed ones too, at their
/// uncompressed offset). What was rotated after it follows, oldest first, then the file at the
/// path, however often that was renamed between two looks.
///
/// Reads only while nobody writes: not beside PATH.lock (unless that is older than 10 minutes), and
/// under shared locks of fcntl and flock, which are held while it reads and never waited for.
/// Not thread safe.
class MboxTail {
 public:
  struct Options {
    std::string source, path;
    std::int64_t settle_us = 2'000'000;
    std::int64_t torn_us = 60'000'000;
    std::int64_t old_us = 0;
  };
  MboxTail(Options options, PositionBook& book);
  ~MboxTail();

  /// Mails that are whole, from the position on, a bounded part of them; empty: none now. They are
  /// handed out again until taken() is called. `now_us`: the clock. Errors: not_found, io.
  Result<void> read(std::vector<Mail>& out, std::int64_t now_us);
  /// What was read last is durable. True when position() is to be remembered.
  bool taken();
  /// Where the next mail begins.
  [[nodiscard]] const Position& position() const;
  /// Of the file that is being read, at the last look; 0 = none.
  [[nodiscard]] std::uint64_t size() const;
  /// There may be more to read at once.
  [[nodiscard]] bool more() const;

  struct Stats {
    std::uint64_t restarts = 0;  ///< read from the start again: emptied, shrunk or rewritten
    std::uint64_t replaced = 0;  ///< renamed (now, or before the start) and read to the end
    std::uint64_t oversize = 0;  ///< only MailReader::kBytesMax of the mail were read
    std::uint64_t torn = 0;      ///< taken without their end, or rests that begin no mail
    std::uint64_t old = 0;       ///< left out
    std::uint64_t locked = 0;    ///< looks that found somebody writing
  };
  [[nodiscard]] const Stats& stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The mail as it was delivered, as far as that can be told: without the header fields that mail
/// readers add to an mbox or change there, and without blank lines behind it.
std::string without_client_fields(std::string_view mail);
/// Time of a separator ("From sender Thu Nov 20 12:00:01 2025", taken as UTC); 0 = not known.
std::int64_t separator_time(std::string_view line);

}  // namespace bounced::ingest
