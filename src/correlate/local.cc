#include "correlate/local.h"

#include <span>

#include "base/address.h"
#include "correlate/correlate.h"

namespace bounced::correlate {
namespace {

/// What Correlator::Impl::enrich() does, by a message without an entry. Tenant and stream are left
/// to apply_joined(): who matches them is not shared.
inline void give(const Batch& batch, LocalMessage& message, std::int64_t add_us, Event& event) {
  event.message =
      message.fingerprint != 0
          ? message.fingerprint
          : hash_of(message.key, static_cast<std::uint64_t>(message.first_us + add_us), kSeedQueue);
  if (event.sender.empty()) {
    if (message.sender.empty()) {
      event.flags |= EventFlags::kNullSender;
    } else {
      if (message.sender_domain == 0) {
        message.sender_domain = domain_key(batch.view(message.sender));
      }
      event.sender = message.sender;
      event.sender_domain = message.sender_domain;
    }
  }
  if (event.message_id.empty()) event.message_id = message.message_id;
  if (event.campaign.empty()) event.campaign = message.campaign;
}

/// A text of an event's own is never that of a note: they lie on different lines.
bool take_text(Text& text, const Text& given) {
  if (text.empty() || text.offset != given.offset) return false;
  text = {};
  return true;
}

/// No branch for each: who comes next is the log's whim.
void list_open(std::span<const std::uint16_t> local, const std::vector<std::uint16_t>& accepted,
               std::vector<std::uint32_t>& open) {
  open.resize(local.size() + 1);
  std::size_t size = 0;
  for (std::size_t i = 0; i < local.size(); ++i) {
    open[size] = static_cast<std::uint32_t>(i);
    size += accepted[local[i]] == 0;
  }
  open.resize(size);
}

}  // namespace

void OpenRecords::list(const Batch& batch) {
  list_open(batch.note_local, accepted, notes);
  list_open(batch.prepared.event_local, accepted, events);
}

void take_back(const Batch& batch, Event& event) {
  if (event.local == 0 || batch.prepared.whole[event.local - 1u] == 0) return;
  const LocalMessage& message = batch.local[event.local - 1u];
  event.message = 0;
  if (take_text(event.sender, message.sender)) event.sender_domain = 0;
  if (message.sender.empty()) event.flags &= static_cast<std::uint8_t>(~EventFlags::kNullSender);
  take_text(event.message_id, message.message_id);
  take_text(event.campaign, message.campaign);
}

void prepare(Batch& batch, std::int64_t add_us) {
  Prepared& prepared = batch.prepared;
  const std::int64_t more_us = add_us - (prepared.done ? prepared.add_us : 0);
  prepared.done = true;
  prepared.add_us = add_us;
  prepared.whole.resize(batch.local.size());
  for (std::size_t i = 0; i < batch.local.size(); ++i) {
    prepared.whole[i] = batch.local[i].whole ? batch.local[i].key : 0;
  }
  prepared.event_local.resize(batch.events.size());
  for (std::size_t i = 0; i < batch.events.size(); ++i) {
    Event& event = batch.events[i];
    event.time_us += more_us;
    event.time_form = TimeForm::utc;
    prepared.event_local[i] = event.local;
    if (event.local == 0) continue;
    LocalMessage& message = batch.local[event.local - 1u];
    if (message.whole) give(batch, message, add_us, event);
  }
}

void take_back(Batch& batch) {
  Prepared& prepared = batch.prepared;
  if (!prepared.done) return;
  prepared.done = false;
  const TimeForm form = batch.times.form().value_or(TimeForm::utc);
  for (Event& event : batch.events) {
    take_back(batch, event);
    event.time_us -= prepared.add_us;
    event.time_form = form;
  }
}

}  // namespace bounced::correlate
