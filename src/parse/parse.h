// parse: Blocks of MTA log to Batches of Events and Notes. Stateless: any worker, any Block.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/batch.h"
#include "parse/mail/verp.h"

namespace bounced::parse {

/// A host that takes our mail to pass it on: `sent` to it is `relayed`, not delivered.
struct RelayHosts {
  std::vector<std::string> names;     ///< MX host suffixes ("smtp.sendgrid.net"), lower case
  std::vector<std::string> networks;  ///< CIDR, beside loopback which always counts
};

/// What parsing depends on besides the bytes. Immutable while workers run.
struct Context {
  const AddressHasher* hasher = nullptr;
  /// Header whose header_checks line names the campaign ("X-Campaign"); compared
  /// case-insensitively.
  std::string campaign_header = "X-Campaign";
  RelayHosts smarthosts;
  RelayHosts relays;  ///< content filters and own networks (host names and CIDRs)
  mail::VerpOptions verp;
};

/// One row of the format table.
struct Format {
  std::string_view name;  ///< "postfix"
  /// 0..100: how sure this is our format, from the first lines of a file.
  int (*probe)(std::string_view head);
  /// Fills the batch (events, notes, origins, counts) from batch.block's text, whose last line may
  /// lack its newline. Never fails: what cannot be read is counted.
  void (*parse)(const Context& context, Batch& batch);
};

/// All formats; the index is Block::format and Event::format.
std::span<const Format> formats();
/// -1 when there is none of that name.
int find_format(std::string_view name);
/// The surest format for these bytes; -1 when none recognises anything.
int probe_format(std::string_view head);

/// Parses batch.block by its row (probing when block->format is -1 and recording the choice).
void parse(const Context& context, Batch& batch);

/// One log line taken apart for `bounced explain`: name and value, in the order of the line.
struct Field {
  std::string name;
  std::string value;
};
std::vector<Field> explain_line(const Context& context, std::string_view line, int format);

/// When a line was written and which message it is about, for `bounced trace`.
struct LineHead {
  std::int64_t time_us = 0;  ///< as Event::time_us
  TimeForm time_form = TimeForm::utc;
  std::string host;
  std::string queue;     ///< the instance, whose services share a queue
  std::string queue_id;  ///< empty: about no message
  std::string text;      ///< behind the queue id
};
/// None when the line has no header that we know.
std::optional<LineHead> read_line_head(std::string_view line);

/// Whether the text could be a queue id.
bool is_queue_id(std::string_view text);

}  // namespace bounced::parse
