// exim_parser: a block of Exim's log to events and notes. Lines in their usual shape take the short
// way of exim_usual.cc; all others, and whatever is unusual about an event, that of exim.cc.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/address.h"
#include "base/hash.h"
#include "base/hash_inline.h"
#include "base/zero.h"
#include "parse/batch_lists.h"
#include "parse/exim_line.h"
#include "parse/exim_reason.h"
#include "parse/exim_usual.h"
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

/// Never 0. Old and new ids have one size each; knowing it spares the hash its branches.
BOUNCED_HOT std::uint64_t exim_queue_key(std::string_view id, std::uint64_t seed) {
  const std::uint64_t key = id.size() == kOldIdBytes ? hash64_inline(id.data(), kOldIdBytes, seed)
                                                     : hash64_inline(id.data(), kNewIdBytes, seed);
  return key == 0 ? 1 : key;
}

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

  void any_line(const char* newline);
  bool usual_line(const char* p, const char* newline);
  bool usual_record(std::string_view queue_id, const char* p, const char* newline);
  bool usual_received(const char* p, const char* newline);
  bool usual_delivery(std::string_view queue_id, EximFlag flag, const char* p, const char* newline);
  void fill_usual_line(std::string_view queue_id, const EximDelivery& found, Event& event);
  void fill_usual_sent(const EximDelivery& found, Event& event);
  bool usual_passes_on(const EximDelivery& found, const Event& event);
  void remember_route(const EximDelivery& found);
  Note& new_note(NoteKind kind, Text text, std::uint64_t text_key);
  Outcome line(const char* p, const char* end);
  Outcome syslog_line(std::string_view line);
  Outcome syslog_record(const Header& header);
  Outcome record(const char* p, const char* end);
  Outcome told(std::string_view queue_id, const char* p, const char* end);
  Outcome received(std::string_view text);
  Outcome delivery(std::string_view queue_id, EximFlag flag, std::string_view text);
  Outcome remark(std::string_view text);
  bool campaign(std::string_view text);
  void note(NoteKind kind, Text text, std::uint64_t text_key);
  bool find_recipient(const EximDelivery& found);
  void fill_line(std::string_view queue_id, const EximDelivery& found, Event& event);
  void fill_sender(std::string_view sender, Event& event);
  void fill_host(std::string_view host, std::string_view ip, std::uint16_t port, Event& event);
  void fill_sent(const EximDelivery& found, EximFlag flag, Event& event);
  void fill_failure(const EximDelivery& found, EximFlag flag, Event& event);
  void fill_domain(const Name& name, std::string_view raw, Event& event);
  std::uint16_t number_of_host(std::string_view host, Text text);
  bool passes_on(const EximDelivery& found, const Event& event);
  void look_at_route(std::string_view router, std::string_view transport);
  void set_origin(std::string_view host, std::string_view instance);
  void set_key(std::string_view queue_id);
  /// Bytes of this record lie in the block, with readable ones on both sides.
  [[nodiscard]] bool padded() const { return home_.data() == nullptr; }
  /// The Text of bytes that lie in the block.
  [[nodiscard]] BOUNCED_HOT Text inside(std::string_view bytes) const {
    return {bytes.empty() ? 0 : static_cast<std::uint32_t>(bytes.data() - base_),
            static_cast<std::uint32_t>(bytes.size())};
  }
  /// The time of the line is one of a record's. Most lines repeat that of the one before.
  BOUNCED_HOT void see_time() {
    if (time_us_ == seen_us_ && time_form_ == seen_form_) return;
    seen_us_ = time_us_;
    seen_form_ = time_form_;
    batch_.times.see(seen_us_, seen_form_);
  }
  Text text_of(std::string_view bytes);
  Text decoded_text(std::string_view bytes, bool quoted);
  void count(Outcome outcome);
  [[nodiscard]] BOUNCED_HOT std::uint64_t line_offset() const {
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
  EximDelivery found_;  ///< of a usual line
  EximHabits habits_;
  // The last route, and what is to be known of it.
  std::string_view router_, transport_;
  bool smarthost_ = false, lmtp_ = false;
};

/// Of the record's message; to be told to scratch_.local.
BOUNCED_HOT Note& EximParser::new_note(NoteKind kind, Text text, std::uint64_t text_key) {
  Note& note = batch_.notes.append();  // field by field: copying bytes just written stalls
  note.time_us = time_us_;
  note.queue_key = key_;
  note.offset = line_offset();
  note.text_key = text_key;
  note.text = text;
  note.before_event = static_cast<std::uint32_t>(batch_.events.size());
  note.number = 0;
  note.origin = origin_;
  note.kind = kind;
  note.time_form = time_form_;
  see_time();
  return note;
}

}  // namespace bounced::parse
