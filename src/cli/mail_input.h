// mail_input: mails given to a command, as events.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/batch.h"
#include "bounced/result.h"
#include "parse/parse.h"
#include "pipeline/engine.h"

namespace bounced::cli {

/// Mails on their way into a batch that an engine accepts: events, and by what each is known when
/// the same mail comes again.
class MailBatch {
 public:
  explicit MailBatch(const parse::Context& context);
  /// Adds the events of one mail, whose file (if any) was written at `arrived_us`.
  void add(std::string_view mail, std::uint64_t offset, std::int64_t arrived_us);
  [[nodiscard]] Batch& batch() { return batch_; }
  [[nodiscard]] std::size_t mails() const { return mails_; }
  void clear();

 private:
  void begin();
  const parse::Context& context_;
  BlockPool pool_;
  Batch batch_;
  std::size_t mails_ = 0;
};

/// What parsing needs, of an engine and the configuration.
parse::Context mail_context(const pipeline::Engine& engine, const pipeline::Options& options);
/// The engine's source of mails.
Result<pipeline::PushId> mail_source(pipeline::Engine& engine);

/// Takes the files that hold mails (by content, or all when the format says so) out of `files`.
std::vector<std::string> take_mail_files(std::vector<std::string>& files, std::string_view format);

/// Reads the mails of all these files; `full` gets a batch of many and returns what came of it.
/// Goes on behind a file that cannot be read, and returns the first such error.
Result<void> read_mails(const std::vector<std::string>& paths, const parse::Context& context,
                        const std::function<Result<void>(Batch&)>& full);

}  // namespace bounced::cli
