// record: logs with one record a line that tells all of its message (KumoMTA, PowerMTA): walking a
// block's lines, counting them, and making Events of what a row's reader found.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/batch.h"
#include "bounced/event.h"
#include "parse/batch_lists.h"
#include "parse/parse.h"
#include "parse/relay.h"

namespace bounced::parse {

/// What one record tells. Views live until its events are added; empty, 0 = unknown.
struct Record {
  EventKind kind = EventKind::none;
  std::int64_t time_us = 0;
  TimeForm time_form = TimeForm::utc;
  std::string_view sender;
  bool null_sender = false;
  std::string_view queue_id;
  std::string_view message_id;
  std::string_view campaign;
  std::string_view host;      ///< of the MTA that wrote it
  std::string_view instance;  ///< what `[[stream]] instances` sees: pool, virtual MTA
  std::string_view mta_host;
  std::string_view mta_ip;
  std::string_view sending_ip;
  std::string_view diagnostic;
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  ProviderHint hint = ProviderHint::none;
  std::uint8_t flags = 0;
  std::uint32_t delay_ms = 0;
};

/// Lines of one block in, events of one batch out. Not thread safe; one per thread at a time.
class RecordWriter {
 public:
  RecordWriter(const Context& context, Batch& batch);
  RecordWriter(const RecordWriter&) = delete;
  RecordWriter& operator=(const RecordWriter&) = delete;

  /// Goes to the next line: without NULs before it, and without its line end. False at the end.
  bool next(std::string_view& line);
  /// What follows the line in its block.
  [[nodiscard]] std::string_view rest() const;
  /// Takes the next line, which continues the record, into this one: it counts as ignored.
  std::string_view extend(std::string_view line);
  /// Readable bytes behind a line of this block.
  [[nodiscard]] std::size_t padding(std::string_view line) const;
  void count(LineUse use);

  /// The record whose events are added next. Texts that do not lie in the block are copied.
  void begin(const Record& record);
  /// One event of it; false when the recipient is no address.
  bool add(std::string_view recipient);
  /// begin() and an event for each recipient. A record without any address is ignored.
  template <class Recipients>
  LineUse add_all(const Record& record, const Recipients& recipients) {
    begin(record);
    const std::size_t before = batch_.events.size();
    for (const std::string_view recipient : recipients) (void)add(recipient);
    if (batch_.events.size() != before) return LineUse::used;
    ++batch_.counts.bad_recipient;
    return LineUse::ignored;
  }

 private:
  [[nodiscard]] std::string_view line_at(const char* p, const char*& next) const;
  Text place(std::string_view bytes);
  std::uint16_t origin_of(std::string_view host, std::string_view instance);
  std::uint16_t number_of_host(std::string_view name, Text text);
  [[nodiscard]] std::uint64_t line_offset() const;
  bool passes_on(const Record& record);

  const Context& context_;
  Batch& batch_;
  RelayReader relays_;
  const char* line_ = nullptr;  ///< begin of the line, behind NULs
  const char* next_ = nullptr;  ///< begin of the line behind it
  std::string relay_text_;
  Event event_;  ///< what the events of a record share
  std::uint32_t number_ = 0;
};

/// "<a@b>", "rfc822; a@b" and the like: the address alone.
std::string_view bare_address(std::string_view text);
/// "4.2.2", "5.1.1 (bad mailbox)": the code at the begin; absent when there is none.
EnhancedCode enhanced_at(std::string_view text);
/// Seconds since 1970 with any fraction ("1678069691", "1678069691.25"; milliseconds and
/// microseconds are told by their size), or RFC 3339. False when it is neither.
bool read_unix_or_rfc3339(std::string_view text, std::int64_t& time_us);

}  // namespace bounced::parse
