// LocalFinder: which messages begin and end within one block.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/batch.h"
#include "base/message.h"
#include "base/zero.h"

namespace bounced::parse {

/// Most messages are in the queue for seconds only: their lines lie close together, in one block.
/// Who parses it can join them there, where everything is near; correlate then neither creates nor
/// looks for them (Correlator::apply_joined).
///
/// Listed are messages whose first record here is a note that tells of them (client, sasl user,
/// message id, campaign, begin), of whose recipients none is deferred, and that end in the block.
/// Whatever is unusual (a second begin, a text over its bound, a record behind the end) is left to
/// correlate, to which all this is a hint. Not thread safe. Keeps buffers from batch to batch, and
/// how many are not worth a look.
class LocalFinder {
 public:
  LocalFinder() : slots_(new std::uint32_t[kSlots]), entries_(new Entry[kMessagesMax]) {}

  /// Before the first record of a batch.
  void start() {
    count_ = 0;
    active_ = pause_ == 0;
    if (active_) {
      std::memset(slots_.get(), 0, kSlots * sizeof slots_[0]);
    } else {
      --pause_;
    }
  }
  /// Behind start(): joins nothing in this batch.
  void stop() { active_ = false; }
  /// The note is complete and the batch's last. Inline as event(), and called where the kind is
  /// known: a pass of its own would mispredict what the parser has just found out.
  [[gnu::always_inline]] void note(Batch& batch, const Note& note) {
    note_of(batch, note, note.kind);
  }
  /// The same of a note whose kind the compiler knows.
  [[gnu::always_inline]] void note_of(Batch& batch, const Note& note, NoteKind kind) {
    batch.note_local.append() = active_ ? number_for(batch, note, kind) : std::uint16_t{0};
  }
  /// The same of one more note of the message that the note before is of; not its removal.
  [[gnu::always_inline]] void note_more(Batch& batch, const Note& note, NoteKind kind) {
    const std::uint16_t number = active_ ? batch.note_local.back() : std::uint16_t{0};
    if (number != 0) {
      Entry& entry = entries_[number - 1u];
      entry.stage = told(note, kind, entry, batch.local[number - 1u]);
    }
    batch.note_local.append() = number;
  }
  /// The event is complete and the batch's last.
  [[gnu::always_inline]] void event(Batch& batch, Event& event);
  /// Behind the last record. Batch::joined tells whether the lists may be used.
  void finish(Batch& batch);

 private:
  enum class Stage : std::uint8_t { queueing, active, over, refused };
  struct Entry {
    std::uint64_t key;
    std::uint32_t nrcpt;  ///< 0 = qmgr has not told
    std::uint32_t done;   ///< recipients with a final outcome
    Stage stage;
    bool client;  ///< smtpd has told its client
  };
  static constexpr unsigned kSlotsLog2 = 13;
  static constexpr std::size_t kSlots = std::size_t{1} << kSlotsLog2;
  /// A block of usual lines has half as many.
  static constexpr std::size_t kMessagesMax = kSlots / 4 * 3;
  /// Where fewer than an eighth of the messages are local, so many batches are not looked at.
  static constexpr std::uint32_t kPause = 15;

  /// The message with this key; 0 = not listed, `vacant_` is its place.
  [[gnu::always_inline]] std::uint16_t find(std::uint64_t key);
  /// 0: no more fit.
  [[gnu::always_inline]] std::uint16_t list(Batch& batch, std::uint64_t key, Stage stage);
  [[gnu::always_inline]] std::uint16_t number_for(Batch& batch, const Note& note, NoteKind kind);
  /// What the message is after a note that is not its removal.
  [[gnu::always_inline]] static Stage told(const Note& note, NoteKind kind, Entry& entry,
                                           LocalMessage& message);
  static Stage told_more(const Note& note, Entry& entry, LocalMessage& message);

  std::unique_ptr<std::uint32_t[]> slots_;  ///< hash bits and number; 0 = vacant
  std::unique_ptr<Entry[]> entries_;        ///< by number, from 1, as Batch::local
  std::size_t count_ = 0;
  std::uint32_t* vacant_ = nullptr;
  std::uint32_t tag_ = 0;
  std::uint32_t pause_ = 0;
  bool active_ = false;
};

inline std::uint16_t LocalFinder::find(std::uint64_t key) {
  const std::uint64_t hash = key * 0x9E3779B97F4A7C15ull;
  tag_ = static_cast<std::uint32_t>(hash >> 16) & 0xFFFF0000;
  for (std::size_t i = hash >> (64 - kSlotsLog2);; i = (i + 1) % kSlots) {
    const std::uint32_t slot = slots_[i];
    if (slot == 0) {
      vacant_ = &slots_[i];
      return 0;
    }
    const auto number = static_cast<std::uint16_t>(slot);
    if ((slot & 0xFFFF0000) == tag_ && entries_[number - 1u].key == key) return number;
  }
}

inline std::uint16_t LocalFinder::list(Batch& batch, std::uint64_t key, Stage stage) {
  if (count_ == kMessagesMax) {
    active_ = false;  // not a usual block: nothing of it is joined
    return 0;
  }
  entries_[count_++] = {key, 0, 0, stage, false};
  const auto number = static_cast<std::uint16_t>(count_);
  *vacant_ = tag_ | number;
  zero(batch.local.append());
  return number;
}

inline LocalFinder::Stage LocalFinder::told(const Note& note, NoteKind kind, Entry& entry,
                                            LocalMessage& message) {
  if (entry.stage != Stage::queueing) return Stage::refused;
  if (message.key == 0) {
    message.key = note.queue_key;
    message.first_us = note.time_us;
  }
  if (kind != NoteKind::begin) return told_more(note, entry, message);
  message.sender = note.text;
  message.sender_domain = note.text_key;
  message.begun = true;
  entry.nrcpt = note.number;
  return note.text.size <= kSenderBytesMax ? Stage::active : Stage::refused;
}

inline std::uint16_t LocalFinder::number_for(Batch& batch, const Note& note, NoteKind kind) {
  if (note.queue_key == 0 || kind == NoteKind::notification) return 0;
  std::uint16_t number = find(note.queue_key);
  if (kind == NoteKind::removed) {
    if (number == 0) return list(batch, note.queue_key, Stage::refused);
    Stage& stage = entries_[number - 1u].stage;
    if (stage != Stage::refused) stage = Stage::over;
    return number;
  }
  if (number == 0) number = list(batch, note.queue_key, Stage::queueing);
  if (number == 0) return 0;
  Entry& entry = entries_[number - 1u];
  entry.stage = told(note, kind, entry, batch.local[number - 1u]);
  return number;
}

inline void LocalFinder::event(Batch& batch, Event& event) {
  if (!active_ || event.queue_key == 0) return;
  const std::uint16_t number = find(event.queue_key);
  if (number == 0) {
    list(batch, event.queue_key, Stage::refused);
    return;
  }
  event.local = number;
  Entry& entry = entries_[number - 1u];
  if (entry.stage != Stage::active || event.kind == EventKind::deferred) {
    entry.stage = Stage::refused;
  } else if (event.kind != EventKind::probed && ends_one_recipient(event)) {
    if (++entry.done >= entry.nrcpt && entry.nrcpt != 0) entry.stage = Stage::over;
  }
}

}  // namespace bounced::parse
