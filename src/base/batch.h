// Batch: what parse made of one Block; Events, Notes and Verdicts that share its bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <optional>
#include <string_view>
#include <vector>

#include "base/block.h"
#include "base/records.h"
#include "bounced/event.h"
#include "bounced/verdict.h"

namespace bounced {

/// What a line tells about a message in the queue, for correlate.
enum class NoteKind : std::uint8_t {
  begin,         ///< qmgr from=: text = sender (may be empty = null sender), number = nrcpt
  message_id,    ///< cleanup message-id=: text = <id>
  sasl_user,     ///< smtpd sasl_username=: text
  client,        ///< smtpd client= without sasl: text = client
  campaign,      ///< header-check line of the configured header: text = value
  expired,       ///< qmgr status=expired: reaches the still-deferred recipients
  removed,       ///< qmgr removed: the message has left the queue
  mx_failure,    ///< failed MX attempt without to=: text = reason (evidence, no outcome)
  notification,  ///< bounce: text = queue id of the notification sent to the sender
};

/// Times as in Event. Trivially copyable; valid with its Batch.
struct Note {
  std::int64_t time_us = 0;
  std::uint64_t queue_key = 0;
  std::uint64_t offset = 0;
  /// begin: domain_key() of the text; message_id: its message_fingerprint(). 0 = not computed, or
  /// none.
  std::uint64_t text_key = 0;
  Text text;
  std::uint32_t before_event = 0;  ///< number of this batch's events that precede it
  std::uint32_t number = 0;
  std::uint16_t origin = 0;
  NoteKind kind = NoteKind::begin;
  TimeForm time_form = TimeForm::utc;
};

/// Which host and MTA instance wrote a line.
struct Origin {
  Text host;
  Text instance;           ///< "postfix", "postfix-out"
  std::uint64_t hash = 0;  ///< of host and instance; seed of queue keys
};

/// A recipient domain of a batch.
struct BatchDomain {
  AddressId id;  ///< as Event::domain_id
  Text text;     ///< as its first event has it, behind the last '@'
};

/// A message of which this batch may hold every record. Found by parse (LocalFinder).
struct LocalMessage {
  std::uint64_t key = 0;      ///< Note::queue_key; 0 = not one that counts
  std::int64_t first_us = 0;  ///< of its first record, as parsed
  Text sender, message_id, campaign, sasl_user;
  std::uint64_t sender_domain = 0;  ///< domain_key() of the sender; 0 = not computed, or none
  std::uint64_t fingerprint = 0;    ///< of the message id; 0 = none
  std::uint16_t tenant = 0, stream = 0;
  bool begun = false;     ///< qmgr has told its sender
  bool whole = false;     ///< as far as the batch can tell, it begins and ends here
  bool resolved = false;  ///< tenant and stream are set
};

/// Which times the records of a batch have, as parsed.
struct RecordTimes {
  std::int64_t oldest_us = INT64_MAX, newest_us = INT64_MIN;
  std::uint8_t forms = 0;  ///< bit n: some have TimeForm n
  void see(std::int64_t time_us, TimeForm form) {
    oldest_us = time_us < oldest_us ? time_us : oldest_us;
    newest_us = time_us > newest_us ? time_us : newest_us;
    forms |= static_cast<std::uint8_t>(1u << static_cast<unsigned>(form));
  }
  /// The form of all of them; none when they differ.
  [[nodiscard]] std::optional<TimeForm> form() const {
    for (const TimeForm form : {TimeForm::utc, TimeForm::local, TimeForm::yearless}) {
      if (forms == 1u << static_cast<unsigned>(form)) return form;
    }
    return {};
  }
};

/// What correlate did with the events of a batch ahead of its turn (correlate::prepare).
struct Prepared {
  bool done = false;
  std::int64_t add_us = 0;                 ///< is in their times, which are UTC then
  std::vector<std::uint64_t> whole;        ///< by Event::local - 1: key of a whole message, else 0
  std::vector<std::uint16_t> event_local;  ///< Event::local of each, close together
};

/// Counted by parse; sums are exact: lines = events' lines + notes' lines + ignored + unparsed.
struct ParseCounts {
  std::uint64_t lines = 0;
  std::uint64_t bytes = 0;
  std::uint64_t ignored = 0;   ///< understood and of no interest
  std::uint64_t unparsed = 0;  ///< looked like ours, but could not be read
  std::uint64_t foreign = 0;   ///< other programs' lines, blank lines, noise
  std::uint64_t oversize = 0;
  std::uint64_t bad_recipient = 0;
  std::uint64_t lost_messages = 0;  ///< rate-limit loss told by the logger
  std::uint64_t loss_alarms = 0;    ///< lines that tell of such loss, with or without a number
  void add(const ParseCounts& other);
};

/// What became of one message at one recipient was told twice: that it was delivered, and that it
/// failed after all. One of the two is an event of Batch::run, the other was told before.
struct Revision {
  std::uint32_t at = 0;      ///< of the event, in `run`
  std::int64_t time_us = 0;  ///< of the other one; so are the rest
  Text sender;               ///< "@domain"
  Text campaign;
  Text mta_host;  ///< of a failure
  std::uint16_t tenant = 0, stream = 0;
  Cause cause = Cause::none;  ///< none: the other one is the delivery
  BounceClass bounce_class = BounceClass::none;
  bool expired = false;
};

/// Ownership: owns its Block. Not thread safe; handed from stage to stage.
class Batch {
 public:
  BlockPtr block;
  Records<Event> events;          ///< in line order
  Records<Note> notes;            ///< in line order, interleaved by before_event
  std::vector<Verdict> verdicts;  ///< Event::verdict - 1 indexes it
  std::vector<Origin> origins;    ///< Event::origin - 1 indexes it
  // Short lists, so that later stages look a name up once per batch, not once per event. What does
  // not fit (or was not parsed from a line) is not listed: Event::domain or host is 0 then.
  std::vector<BatchDomain> domains;  ///< distinct ids; Event::domain - 1 indexes it
  std::vector<Text> hosts;  ///< distinct answering hosts, as logged; Event::host - 1 indexes it
  std::vector<std::uint64_t> providers;  ///< of `hosts`, by state; may be shorter
  /// Of push sources only, by event: what makes it known when it is told again.
  Records<AddressId> keys;
  Records<LocalMessage> local;        ///< Event::local - 1 indexes it
  Records<std::uint16_t> note_local;  ///< by note, as Event::local
  bool joined = false;                ///< `local` and `note_local` may be used
  RecordTimes times;                  ///< as parsed; no form: not known
  Prepared prepared;
  std::deque<Event> synthesised;    ///< made by correlate; addresses are stable
  std::vector<Event*> run;          ///< of events and synthesised: what is applied next, in order
  std::vector<Revision> revisions;  ///< by `at`
  ParseCounts counts;
  std::int64_t sample_unparsed = -1;  ///< offset of an unparsed line, for the log; -1 = none

  [[nodiscard]] std::string_view view(Text text) const {
    if ((text.offset & Text::kArenaBit) != 0) {
      return {arena_.data() + (text.offset & ~Text::kArenaBit), text.size};
    }
    return {block->data + text.offset, text.size};
  }
  /// Copies bytes into the batch's arena.
  Text add(std::string_view bytes) {
    if (bytes.empty()) return {};
    const auto offset = static_cast<std::uint32_t>(arena_.size());
    arena_.append(bytes.data(), bytes.size());
    return {offset | Text::kArenaBit, static_cast<std::uint32_t>(bytes.size())};
  }
  /// The same between two more bytes, which takes no second copy.
  Text add(std::string_view bytes, char before, char behind) {
    const auto offset = static_cast<std::uint32_t>(arena_.size());
    arena_.append() = before;
    arena_.append(bytes.data(), bytes.size());
    arena_.append() = behind;
    return {offset | Text::kArenaBit, static_cast<std::uint32_t>(bytes.size() + 2)};
  }
  /// The Text of bytes that lie inside the block.
  [[nodiscard]] Text inside(std::string_view bytes) const {
    return {static_cast<std::uint32_t>(bytes.data() - block->data),
            static_cast<std::uint32_t>(bytes.size())};
  }
  [[nodiscard]] const Verdict* verdict(const Event& event) const {
    return event.verdict == 0 ? nullptr : &verdicts[event.verdict - 1];
  }
  void set_verdict(Event& event, const Verdict& verdict) {
    verdicts.push_back(verdict);
    event.verdict = static_cast<std::uint32_t>(verdicts.size());
  }
  /// Of event `at` of `run`; null when its message's fate was told once.
  [[nodiscard]] const Revision* revision(std::size_t at) const;
  [[nodiscard]] const Origin* origin(std::uint16_t number) const {
    return number == 0 ? nullptr : &origins[number - 1];
  }
  /// Empties it for reuse, keeping capacity; gives the block back.
  void clear();
  [[nodiscard]] std::size_t arena_size() const { return arena_.size(); }
  [[nodiscard]] const char* arena() const { return arena_.data(); }

 private:
  Records<char> arena_;
};

}  // namespace bounced
