// mail_watch: Maildirs and mboxes that the daemon looks after; every new mail is taken exactly
// once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cli/config.h"
#include "ingest/mbox_tail.h"
#include "pipeline/engine.h"

namespace bounced::cli {

/// Takes the mails of `new/` in the order of their names: makes their events durable, then moves
/// them to `cur/` with the flag S (or leaves them). Takes the mails of an mbox as they are
/// appended: makes their events durable, then remembers where the next one begins. A crash between
/// the two costs nothing: the mail is read again, and its content tells the engine that it was
/// taken. One thread of its own. Thread safety: states() from any thread.
class MailWatch {
 public:
  /// How long the content of a mail tells that it was taken, less a day: what is left in `new/` and
  /// older is not read again after a restart.
  static constexpr std::int64_t kLeftDays = 13;

  /// Paths are absolute. Errors: of the engine (no store).
  static Result<std::unique_ptr<MailWatch>> start(pipeline::Engine& engine,
                                                  const pipeline::Options& options,
                                                  std::vector<Maildir> maildirs,
                                                  const std::vector<Mbox>& mboxes);
  /// Stops; before the engine does.
  ~MailWatch();

  struct State {
    std::string what;  ///< "maildir" or "mbox"
    std::string name, path;
    std::uint64_t mails = 0;   ///< taken since the start
    std::uint64_t events = 0;  ///< that these told
    std::string trouble;       ///< now, in words; empty = well
    std::uint64_t offset = 0;  ///< of an mbox: where the next mail begins
    std::uint64_t size = 0;    ///< of the file of an mbox that is being read; 0 = none
    ingest::MboxTail::Stats mbox;
  };
  [[nodiscard]] std::vector<State> states() const;

 private:
  MailWatch();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bounced::cli
