#include "correlate/open_table.h"

#include <algorithm>
#include <tuple>

#include "base/time.h"
#include "bounced/limits.h"
#include "correlate/open_codec.h"

namespace bounced::correlate {

// --- messages -----------------------------------------------------------------------------------

void OpenTable::erase_spilled(std::uint64_t key) {
  if (spilled_.erase(key) != 0) erased_.push_back(key);
}

void OpenTable::restart(OpenMessage& message, std::int64_t time_us) {
  remove_all_recipients(message);
  message.reset(message.key, time_us);
  changed(message);
}

// --- recipients ---------------------------------------------------------------------------------

std::uint32_t OpenTable::recipient_index(const OpenMessage& message, const AddressId& id) const {
  if (message.first_recipient == 0) return 0;
  return by_recipient_.find(recipient_key(message.key, id), [&](std::uint32_t i) {
    return recipients_[i].message == message.index && recipients_[i].id == id;
  });
}

DeferredRecipient* OpenTable::find_recipient(const OpenMessage& message, const AddressId& id) {
  const std::uint32_t index = recipient_index(message, id);
  return index == 0 ? nullptr : &recipients_[index];
}

DeferredRecipient& OpenTable::add_recipient(OpenMessage& message, const AddressId& id) {
  const std::uint32_t index = recipients_.take();
  DeferredRecipient& recipient = recipients_[index];
  recipient.reset(id);
  link_recipient(message, index);
  return recipient;
}

void OpenTable::link_recipient(OpenMessage& message, std::uint32_t index) {
  DeferredRecipient& recipient = recipients_[index];
  recipient.message = message.index;
  recipient.previous = message.last_recipient;
  recipient.next = 0;
  if (message.last_recipient == 0) {
    message.first_recipient = index;
    ++waiting_;
  } else {
    recipients_[message.last_recipient].next = index;
  }
  message.last_recipient = index;
  by_recipient_.insert(recipient_key(message.key, recipient.id), index);
}

void OpenTable::unlink(OpenMessage& message, std::uint32_t index) {
  const DeferredRecipient& recipient = recipients_[index];
  if (recipient.previous == 0) {
    message.first_recipient = recipient.next;
  } else {
    recipients_[recipient.previous].next = recipient.next;
  }
  if (recipient.next == 0) {
    message.last_recipient = recipient.previous;
  } else {
    recipients_[recipient.next].previous = recipient.previous;
  }
  by_recipient_.erase(recipient_key(message.key, recipient.id), index);
  recipients_.give_back(index);
  if (message.first_recipient == 0) --waiting_;
}

void OpenTable::remove_listed(OpenMessage& message, const AddressId& id) {
  const std::uint32_t index = recipient_index(message, id);
  if (index == 0) return;
  unlink(message, index);
  changed(message);
}

void OpenTable::remove_all_recipients(OpenMessage& message) {
  while (message.first_recipient != 0) unlink(message, message.first_recipient);
}

// --- bounds -------------------------------------------------------------------------------------

void OpenTable::make_room() {
  candidates_.clear();
  for (std::uint32_t i = 1; i <= messages_.used(); ++i) {
    const OpenMessage& message = messages_[i];
    if (message.has(OpenMessage::kAlive) && message.first_recipient == 0) candidates_.push_back(i);
  }
  // In bulk, so that finding the oldest costs a few ns per message and no order is kept.
  const std::size_t dropped = std::max<std::size_t>(1, candidates_.size() / 8);
  if (candidates_.empty()) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<long>(dropped - 1),
                   candidates_.end(), [&](std::uint32_t a, std::uint32_t b) {
                     const OpenMessage &x = messages_[a], &y = messages_[b];
                     return std::tie(x.first_us, x.key) < std::tie(y.first_us, y.key);
                   });
  for (std::size_t i = 0; i < dropped; ++i) erase(messages_[candidates_[i]]);
  evicted_ += dropped;
}

void OpenTable::set_hour(std::int64_t hour) {
  hour_ = hour;
  hour_end_us_ = (hour + 1) * kHourUs;
  hour_back_us_ = hour * kHourUs - limits::kOpenMessageAgeMaxUs;
}

void OpenTable::new_hour(std::int64_t time_us) {
  const std::int64_t hour = time_us / kHourUs - (time_us % kHourUs < 0 ? 1 : 0);
  const bool forward = hour > hour_;
  set_hour(hour);
  hour_changed_ = true;
  if (!forward) return;
  const std::int64_t oldest = hour * kHourUs - limits::kOpenMessageAgeMaxUs;
  for (std::uint32_t i = 1; i <= messages_.used(); ++i) {
    OpenMessage& message = messages_[i];
    if (message.has(OpenMessage::kAlive) && message.first_recipient == 0 &&
        message.first_us < oldest) {
      erase(message);
      ++evicted_;
    }
  }
}

// --- store --------------------------------------------------------------------------------------

Result<OpenMessage*> OpenTable::restore(std::uint64_t key, std::string_view value) {
  const std::uint32_t index = messages_.take();
  OpenMessage& message = messages_[index];
  message.index = index;
  message.reset(key, 0);
  std::vector<DeferredRecipient> recipients;
  if (auto ok = decode_open(key, value, message, recipients); !ok) {
    free_message(message);
    return tl::unexpected<Error>(ok.error());
  }
  message.flags |= OpenMessage::kStored;
  by_key_.insert(key, index);
  for (DeferredRecipient& recipient : recipients) {
    const std::uint32_t place = recipients_.take();
    recipients_[place] = std::move(recipient);
    link_recipient(message, place);
  }
  return &message;
}

Result<void> OpenTable::load(const store::Store& store) {
  store_ = &store;
  Result<void> status;
  auto scanned =
      store.scan(store::Family::open, {}, {}, [&](std::string_view key, std::string_view value) {
        if (key == kClockKey) {
          auto hour = decode_clock(value);
          if (hour) {
            set_hour(*hour);
          } else {
            status = tl::unexpected<Error>(hour.error());
          }
        } else if (key.size() == 8) {
          if (auto ok = restore(store::read_u64_be(key.data()), value); !ok) {
            status = tl::unexpected<Error>(ok.error());
          }
        }
        return status.has_value();
      });
  if (!scanned) return scanned;
  return status;
}

OpenMessage* OpenTable::fetch(std::uint64_t key) {
  if (spilled_.erase(key) == 0) return nullptr;
  std::string bytes;
  store::append_u64_be(bytes, key);
  auto value = store_->get(store::Family::open, bytes);
  if (value && value->has_value()) {
    auto message = restore(key, **value);
    if (message) return *message;
    status_ = tl::unexpected<Error>(message.error());
  } else if (!value) {
    status_ = tl::unexpected<Error>(value.error());
  } else {
    status_ = fail(ErrorCode::data, "read open message", store_->directory(), "record is missing");
  }
  return nullptr;
}

void OpenTable::append_to(store::WriteSet& set) {
  // What is unchanged here was written by an earlier cut, whose commit has returned.
  if (by_recipient_.size() > entries_max_) spill();
  std::string key;
  for (const std::uint64_t gone : erased_) {
    key.clear();
    store::append_u64_be(key, gone);
    set.erase(store::Family::open, key);
  }
  erased_.clear();
  std::vector<const DeferredRecipient*> list;
  for (const std::uint32_t index : changed_) {
    OpenMessage& message = messages_[index];
    message.flags &= static_cast<std::uint8_t>(~OpenMessage::kListed);
    if (!message.has(OpenMessage::kAlive) || !message.has(OpenMessage::kChanged)) continue;
    list.clear();
    for (std::uint32_t i = message.first_recipient; i != 0; i = recipients_[i].next) {
      list.push_back(&recipients_[i]);
    }
    key.clear();
    store::append_u64_be(key, message.key);
    char* const bytes = set.begin_put(store::Family::open, key, open_bytes_max(message, list));
    set.end_put(store::Family::open, encode_open(message, list, bytes));
    message.flags &= static_cast<std::uint8_t>(~OpenMessage::kChanged);
    message.flags |= OpenMessage::kStored;
  }
  changed_.clear();
  if (hour_changed_) {
    std::string value;
    encode_clock(hour_, value);
    set.put(store::Family::open, kClockKey, value);
    hour_changed_ = false;
  }
}

void OpenTable::spill() {
  if (store_ == nullptr) return;
  constexpr std::uint8_t kMask =
      OpenMessage::kAlive | OpenMessage::kStored | OpenMessage::kChanged | OpenMessage::kListed;
  constexpr std::uint8_t kClean = OpenMessage::kAlive | OpenMessage::kStored;
  for (std::uint32_t seen = 0; seen < messages_.used() && by_recipient_.size() > entries_max_;
       ++seen) {
    spill_hand_ = spill_hand_ >= messages_.used() ? 1 : spill_hand_ + 1;
    OpenMessage& message = messages_[spill_hand_];
    if ((message.flags & kMask) != kClean || message.first_recipient == 0) continue;
    spilled_.insert(message.key);
    by_key_.erase(message.key, spill_hand_);
    free_message(message);
  }
}

}  // namespace bounced::correlate
