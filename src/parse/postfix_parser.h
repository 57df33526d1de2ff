// postfix_parser: a block of Postfix's log to events and notes. Lines in their usual shape take the
// short way of postfix_usual.cc; all others, and whatever is unusual about an event, that of
// postfix.cc.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/hash_inline.h"
#include "base/zero.h"
#include "parse/batch_lists.h"
#include "parse/head.h"
#include "parse/header.h"
#include "parse/line_ends.h"
#include "parse/local_finder.h"
#include "parse/name_slots.h"
#include "parse/parse.h"
#include "parse/postfix_line.h"
#include "parse/relay.h"
#include "parse/scan.h"

namespace bounced::parse {

/// Kept per thread between batches: buffers only, no state that a batch could see.
struct Scratch {
  HeaderReader headers;
  LineEnds ends;
  std::unordered_map<std::uint64_t, std::uint16_t> origins;
  NameTable domains;  ///< normalised
  NameTable hosts;
  std::array<bool, NameTable::kNamesMax + 1> passes_on;  ///< by number of host: may_pass_on()
  LocalFinder local;
};

/// Never 0. Long and short ids have one size each; knowing it spares the hash its branches.
BOUNCED_HOT std::uint64_t queue_key(std::string_view id, const Tag& tag) {
  const std::uint64_t key =
      id.size() == 16 ? hash64_inline(id.data(), 16, tag.hash) : hash64(id, tag.hash);
  return key == 0 ? 1 : key;
}

/// One block's parser. Not thread safe.
class PostfixParser {
 public:
  PostfixParser(const Context& context, Batch& batch);

  void run();
  /// Instead of run(), where another reader walks the block: a message whose header it has read
  /// (its texts are copied), in the line that begins there. finish() after the last one.
  void take(const Header& header, const char* line);
  void finish() { scratch_.local.finish(batch_); }
  /// Messages of this block are not joined within it.
  void unjoined() { scratch_.local.stop(); }

 private:
  using Outcome = LineUse;

  void any_line(const Tag* known, const char* text);
  Outcome line(std::string_view line, std::size_t padding);
  Outcome told(const Tag& tag);
  struct Ahead;
  std::size_t look_ahead();
  void ahead_line(const Ahead& ahead);
  bool usual_header(const char* p, Ahead& out) const;
  bool usual_text(const Tag& tag, const char* p);
  bool usual_text_behind(const Tag& tag, const char* p);
  bool usual_talk(const Tag& tag, const char* p);
  bool usual_remark(const Tag& tag, std::string_view queue_id, const char* rest);
  bool usual_begin(const Tag& tag, std::string_view queue_id, const char* rest);
  bool usual_delivery(const Tag& tag, std::string_view queue_id, const char* rest);
  void fill_usual_sent(const Tag& tag, const Delivery& found, Event& event);
  void remember_head(const Tag& tag);
  Note& new_note(const Tag& tag, std::string_view queue_id, NoteKind kind, Text text,
                 std::uint32_t number, std::uint64_t text_key);
  void add_note(const Tag& tag, std::string_view queue_id, NoteKind kind, std::string_view text,
                std::uint32_t number, std::uint64_t text_key);
  Outcome message(const Tag& tag, const char* p, const char* end);
  Outcome delivery(const Tag& tag, std::string_view queue_id, std::string_view text);
  bool deliver(const Tag& tag, std::string_view queue_id, const Delivery& found);
  Outcome remark(const Tag& tag, std::string_view queue_id, std::string_view text);
  bool find_recipient(const Delivery& found, NormalisedAddress& room, std::string_view& domain,
                      AddressId& id) const;
  Event& new_event();
  void fill_line(const Tag& tag, std::string_view queue_id, const Delivery& found, Event& event);
  void fill_remote(const Tag& tag, const Delivery& delivery, Event& event);
  void fill_failure(const Tag& tag, const Delivery& delivery, Event& event);
  void fill_domain(const Name& name, const Delivery& found, Event& event);
  std::uint16_t number_of_host(const Name& host, Text text);
  static bool passes_on(const Tag& tag, const Relay& relay);
  [[nodiscard]] bool host_may_pass_on(const Delivery& found, const Event& event) const;
  EventKind kind_of_sent(const Tag& tag, const Delivery& delivery, const Relay& relay) const;
  const Tag& resolve_tag();
  void fill_tag(Tag& tag);
  std::uint16_t origin_of(std::string_view host, std::string_view instance, std::uint64_t hash);
  Text arena_text(std::string_view bytes);
  /// The Text of bytes of this line.
  BOUNCED_HOT Text text_of(std::string_view bytes) {
    if (header_.unescaped) [[unlikely]] {
      return bytes.empty() ? Text{} : arena_text(bytes);
    }
    return inside(bytes);
  }
  /// The same where they lie in the block.
  [[nodiscard]] BOUNCED_HOT Text inside(std::string_view bytes) const {
    return {bytes.empty() ? 0 : static_cast<std::uint32_t>(bytes.data() - base_),
            static_cast<std::uint32_t>(bytes.size())};
  }
  /// The message lies in the block, which has readable bytes behind it and ends in a newline.
  [[nodiscard]] bool padded() const { return !header_.unescaped && !truncated_; }
  [[nodiscard]] BOUNCED_HOT std::uint64_t line_offset() const {
    return batch_.block->offset + static_cast<std::uint64_t>(line_ - base_);
  }
  /// The time of the line is one of a record's. Most lines repeat that of the one before.
  BOUNCED_HOT void see_time() {
    if (header_.time_us == seen_us_ && header_.time_form == seen_form_) return;
    seen_us_ = header_.time_us;
    seen_form_ = header_.time_form;
    batch_.times.see(seen_us_, seen_form_);
  }
  void count(Outcome outcome);

  const Context& context_;
  Batch& batch_;
  RelayReader relays_;
  Scratch& scratch_;
  Header header_;
  const char* const base_;  ///< the block's data
  const char* line_ = nullptr;
  const char* newline_ = nullptr;  ///< of the line; nullptr: the block ends without one
  const char* home_ = nullptr;     ///< of the message in the arena, once it is there
  std::uint32_t home_offset_ = 0;
  bool truncated_ = false;  ///< by the line limit
  /// Lines whose headers are read before the first one's text: which kind of line comes next is
  /// nobody's guess, and a wrong one costs less the sooner it is found out.
  static constexpr std::size_t kAhead = 32;
  struct Ahead {
    const char* newline;
    const char* text;
    const Tag* tag;
    std::int64_t time_us;
    TimeForm time_form;
  };
  std::int64_t seen_us_ = INT64_MIN;  ///< by see_time()
  TimeForm seen_form_ = TimeForm::utc;
  Ahead ahead_[kAhead];
  Tag tags_[kTagEntries];
  Tag uncached_;
  Head heads_[kHeads];
};

BOUNCED_HOT Event& PostfixParser::new_event() {
  Event& event = batch_.events.append();
  zero(event);
  return event;
}

/// What every delivery line tells, texts aside.
BOUNCED_HOT void PostfixParser::fill_line(const Tag& tag, std::string_view queue_id,
                                          const Delivery& found, Event& event) {
  const Block& block = *batch_.block;
  const std::uint64_t identity[3] = {block.file, line_offset(), 0};
  event.id = hash64_inline(identity, sizeof identity, 0);
  event.time_us = header_.time_us;
  event.time_form = header_.time_form;
  event.offset = identity[1];
  event.source = block.source;
  event.format = static_cast<std::uint8_t>(block.format < 0 ? 0 : block.format);
  event.origin = tag.origin;
  event.queue_key = queue_key(queue_id, tag);
  event.delay_ms = found.delay_ms;
  event.enhanced = found.enhanced;
  see_time();
}

/// To be told to scratch_.local.
BOUNCED_HOT Note& PostfixParser::new_note(const Tag& tag, std::string_view queue_id, NoteKind kind,
                                          Text text, std::uint32_t number, std::uint64_t text_key) {
  Note& note = batch_.notes.append();  // field by field: copying bytes just written stalls
  note.time_us = header_.time_us;
  note.queue_key = queue_key(queue_id, tag);
  note.offset = line_offset();
  note.text_key = text_key;
  note.text = text;
  note.before_event = static_cast<std::uint32_t>(batch_.events.size());
  note.number = number;
  note.origin = tag.origin;
  note.kind = kind;
  note.time_form = header_.time_form;
  see_time();
  return note;
}

BOUNCED_HOT void PostfixParser::fill_domain(const Name& name, const Delivery& found, Event& event) {
  set_domain(batch_, scratch_.domains, *context_.hasher, name, event,
             [&] { return text_of(found.to_at != 0 ? name.text : raw_domain(found.to)); });
}

BOUNCED_HOT std::uint16_t PostfixParser::number_of_host(const Name& name, Text text) {
  return parse::number_of_host(batch_, scratch_.hosts, name, text, [&](std::size_t number) {
    scratch_.passes_on[number] = may_pass_on(name.text);
  });
}

}  // namespace bounced::parse
