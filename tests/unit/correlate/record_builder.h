// RecordBuilder: batches of notes and events for the tests of correlate.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/batch.h"
#include "base/hash.h"
#include "base/time.h"

namespace bounced::correlate::test {

/// Appends records in line order to one Batch. Times are seconds after kStart.
class RecordBuilder {
 public:
  static constexpr std::int64_t kStart = 1'790'000'000 * kSecondUs;

  explicit RecordBuilder(std::uint64_t offset = 0) : offset_(offset) {
    batch.block = pool_.take();
    batch.block->file = 7;
    batch.block->source = 3;
    Origin origin;
    origin.host = batch.add("mx1");
    origin.instance = batch.add("postfix-bulk");
    batch.origins.push_back(origin);
  }

  Note& note(NoteKind kind, std::uint64_t key, double seconds, std::string_view text = {},
             std::uint32_t number = 0) {
    Note note;
    note.kind = kind;
    note.queue_key = key;
    note.time_us = at(seconds);
    note.text = batch.add(text);
    note.number = number;
    note.offset = offset_ += 100;
    note.origin = 1;
    note.before_event = static_cast<std::uint32_t>(batch.events.size());
    batch.notes.push_back(note);
    return batch.notes.back();
  }

  Event& event(EventKind kind, std::uint64_t key, double seconds, std::string_view recipient,
               std::string_view diagnostic = {}, const Verdict* verdict = nullptr) {
    Event event;
    event.kind = kind;
    event.queue_key = key;
    event.time_us = at(seconds);
    event.offset = offset_ += 100;
    event.id = hash64(std::to_string(offset_));
    event.recipient = batch.add(recipient);
    event.recipient_id = {hash64(recipient), hash64(recipient, 1)};
    event.domain_id = {hash64(recipient, 2), hash64(recipient, 3)};
    event.queue_id = batch.add("4XyZ" + std::to_string(key));
    event.diagnostic = batch.add(diagnostic);
    event.origin = 1;
    event.source = 3;
    if (verdict != nullptr) batch.set_verdict(event, *verdict);
    batch.events.push_back(event);
    return batch.events.back();
  }

  static std::int64_t at(double seconds) {
    return kStart + static_cast<std::int64_t>(seconds * 1e6);
  }

 private:
  BlockPool pool_{1, 4096};  // before batch: the block goes back to it

 public:
  Batch batch;

 private:
  std::uint64_t offset_;
};

inline Verdict verdict(Cause cause, Fault fault, Severity severity = Severity::temporary) {
  Verdict v;
  v.cause = cause;
  v.fault = fault;
  v.said = v.severity = severity;
  v.bounce_class = BounceClass::soft;
  v.confidence = 90;
  return v;
}

}  // namespace bounced::correlate::test
