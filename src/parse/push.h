// push: events of push sources (webhooks, piped mails) as bytes of the inbox, and back.
//
// A record holds events of any number of sources, each with what is said of all its events. Texts
// are lengths and bytes, so that the batch that is read back points into the record.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/batch.h"
#include "bounced/result.h"
#include "parse/parse.h"

namespace bounced::parse {

/// Who pushes, and what goes for all that it tells.
struct PushSource {
  std::string name;             ///< Event::source: an endpoint's name
  std::string format;           ///< a row of formats(), by name: Event::format
  std::string tenant, stream;   ///< empty = not said; [[stream]] rules may say it then
  std::int64_t horizon_us = 0;  ///< the same event may be told again for so long
};

/// Texts of an event are cut to this; so an event never has more than kPushEventBytesMax.
inline constexpr std::size_t kPushTextBytesMax = std::size_t{8} << 10;
inline constexpr std::size_t kPushEventBytesMax = std::size_t{80} << 10;
/// A stamp further ahead of the clock than this is not believed.
inline constexpr std::int64_t kPushAheadUs = std::int64_t{15} * 60 * 1'000'000;

/// Appends event `at` of the batch, and its key if it has one. `source`: number of its source in
/// the record's head. A stamp that is far ahead of `now_us`, or none, becomes `now_us`; true then.
/// The batch may be without a block if none of its texts lies in it.
bool append_push_event(std::string& out, std::uint32_t source, const Batch& batch, std::size_t at,
                       std::int64_t now_us);

/// Begins a record: what stands before its events. Sources by the numbers that its events use.
void append_push_head(std::string& out, std::int64_t accepted_us,
                      const std::map<std::uint32_t, const PushSource*>& sources);

/// What stands before the events of a record.
struct PushHead {
  std::int64_t accepted_us = 0;
  std::map<std::uint32_t, PushSource> sources;
};
/// Takes the head off the front of `in`. Errors: data.
Result<PushHead> read_push_head(std::string_view& in);

/// A source of a record as numbers, for the row that reads its events.
struct PushIds {
  std::uint32_t number = 0;  ///< in the record
  std::uint32_t source = 0;  ///< Names id
  std::uint16_t tenant = 0, stream = 0;
  std::uint8_t format = 0;  ///< index of the row
};
/// A record as it stands in a block.
struct PushRecord {
  std::uint64_t sequence = 0;
  std::int64_t accepted_us = 0;
  std::uint32_t until_day = 0;  ///< its keys are of use to the end of it (days since 1970)
};
/// Puts a record into a block of a push lane. False: no room. Block::size grows; `events` is what
/// read_push_head() left.
bool append_push_block(Block& block, const PushRecord& record, const std::vector<PushIds>& sources,
                       std::string_view events);
/// Of all records in a block: begin and end of their (gap-free) sequence, newest stamps.
struct PushRange {
  std::uint64_t begin = 0, end = 0;
  std::int64_t accepted_us = 0;
  std::uint32_t until_day = 0;
};
PushRange push_range(const Block& block);

/// The row's parse function: records of a block to events with keys ({0,0}: none).
/// What cannot be read is counted as unparsed and left out, up to the end of its record.
void parse_push(const Context& context, Batch& batch);
/// Never: files are not made of records.
int probe_push(std::string_view head);

/// The row of a push source's format, or the one for formats without a row of their own.
int find_push_format(std::string_view name);
/// "postfix, exim": the formats that files can have.
std::string file_formats();

}  // namespace bounced::parse
