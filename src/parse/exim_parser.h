// exim_parser: a block of Exim's log to events and notes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/address.h"
#include "base/hash.h"
#include "parse/batch_lists.h"
#include "parse/exim_line.h"
#include "parse/exim_reason.h"
#include "parse/header.h"
#include "parse/line_ends.h"
#include "parse/local_finder.h"
#include "parse/name_slots.h"
#include "parse/parse.h"
#include "parse/relay.h"

namespace bounced::parse {

/// Kept per thread between batches: buffers only, no state that a batch could see.
struct EximScratch {
  HeaderReader headers;
  EximStampReader stamps;
  LineEnds ends;
  std::unordered_map<std::uint64_t, std::uint16_t> origins;
  NameTable domains;  ///< normalised
  NameTable hosts;
  std::array<bool, NameTable::kNamesMax + 1> passes_on;  ///< by number of host: may_pass_on()
  LocalFinder local;
  std::string record;   ///< of a split record
  std::string decoded;  ///< of a text with escapes
};

/// One block's parser. Not thread safe.
class EximParser {
 public:
  EximParser(const Context& context, Batch& batch);

  void run();
  /// Instead of run(), as PostfixParser::take(), for a block that holds both MTAs' messages:
  /// unjoined() of both comes first.
  void take(const Header& header, const char* line);
  /// Messages of this block are not joined within it.
  void unjoined() { scratch_.local.stop(); }

 private:
  using Outcome = LineUse;

  Outcome line(const char* p, const char* end);
  Outcome syslog_line(std::string_view line);
  Outcome syslog_record(const Header& header);
  Outcome piece(const EximPiece& piece, const char* p, const char* end);
  Outcome record(const char* p, const char* end);
  Outcome told(std::string_view queue_id, const char* p, const char* end);
  Outcome received(std::string_view text);
  Outcome delivery(std::string_view queue_id, EximFlag flag, std::string_view text);
  Outcome remark(std::string_view text);
  bool campaign(std::string_view text);
  void note(NoteKind kind, Text text, std::uint64_t text_key);
  bool find_recipient(const EximDelivery& found);
  void fill_line(std::string_view queue_id, const EximDelivery& found, Event& event);
  void fill_host(std::string_view host, std::string_view ip, std::uint16_t port, Event& event);
  void fill_sent(const EximDelivery& found, EximFlag flag, Event& event);
  void fill_failure(const EximDelivery& found, EximFlag flag, Event& event);
  void fill_domain(const Name& name, std::string_view raw, Event& event);
  std::uint16_t number_of_host(std::string_view host, Text text);
  bool passes_on(const EximDelivery& found, const Event& event);
  void look_at_route(const EximDelivery& found);
  void set_origin(std::string_view host, std::string_view instance);
  void set_key(std::string_view queue_id);
  /// Bytes of this record lie in the block, with readable ones on both sides.
  [[nodiscard]] bool padded() const { return home_.data() == nullptr; }
  Text text_of(std::string_view bytes);
  Text decoded_text(std::string_view bytes, bool quoted);
  void count(Outcome outcome);
  [[nodiscard]] std::uint64_t line_offset() const {
    return batch_.block->offset + static_cast<std::uint64_t>(line_ - base_);
  }

  const Context& context_;
  Batch& batch_;
  RelayReader relays_;
  EximScratch& scratch_;
  const char* const base_;  ///< the block's data
  const char* line_ = nullptr;
  const char* next_ = nullptr;     ///< the line behind it, or the block's end
  std::string_view home_;          ///< a record that does not lie in the block
  std::uint32_t home_offset_ = 0;  ///< of it in the arena, once it is there
  bool home_placed_ = false;
  bool truncated_ = false;
  std::int64_t time_us_ = 0;
  TimeForm time_form_ = TimeForm::utc;
  std::string_view host_, instance_;  ///< of origin_
  std::uint64_t seed_ = 0;            ///< of the queue keys of origin_
  std::uint16_t origin_ = 0;
  bool has_origin_ = false;
  std::int64_t seen_us_ = INT64_MIN;
  TimeForm seen_form_ = TimeForm::utc;
  std::uint64_t key_ = 0;  ///< of the record's message
  // Of the recipient of the line at hand.
  std::string_view recipient_;
  AddressId recipient_id_;
  NormalisedAddress normal_;
  std::string_view domain_;  ///< in normal form
  bool usual_recipient_ = false;
  // The last route, and what is to be known of it.
  std::string_view router_, transport_;
  bool smarthost_ = false, lmtp_ = false;
};

}  // namespace bounced::parse
