#include "parse/local_finder.h"

namespace bounced::parse {

std::uint16_t LocalFinder::list(Batch& batch, std::uint64_t key, Stage stage) {
  if (count_ == kMessagesMax) {
    active_ = false;  // not a usual block: nothing of it is joined
    return 0;
  }
  entries_[count_++] = {key, 0, 0, stage, false};
  const auto number = static_cast<std::uint16_t>(count_);
  *vacant_ = tag_ | number;
  batch.local.emplace_back();
  return number;
}

/// What the message is after a note that is not its removal.
LocalFinder::Stage LocalFinder::told(Batch& batch, const Note& note, std::uint16_t number) {
  Entry& entry = entries_[number - 1u];
  LocalMessage& message = batch.local[number - 1u];
  if (entry.stage != Stage::queueing) return Stage::refused;
  if (message.key == 0) {
    message.key = note.queue_key;
    message.first_us = note.time_us;
  }
  if (note.kind != NoteKind::begin) return told_more(note, entry, message);
  message.sender = note.text;
  message.sender_domain = note.text_key;
  message.begun = true;
  entry.nrcpt = note.number;
  return note.text.size <= kSenderBytesMax ? Stage::active : Stage::refused;
}

LocalFinder::Stage LocalFinder::told_more(const Note& note, Entry& entry,
                                          LocalMessage& message) const {
  const auto up_to = [&note](std::uint16_t bytes) {
    return note.text.size <= bytes ? Stage::queueing : Stage::refused;
  };
  switch (note.kind) {
    case NoteKind::message_id:
      if (!message.message_id.empty()) return Stage::queueing;  // the first one stands
      message.message_id = note.text;
      message.fingerprint = note.text_key;
      return note.text_key == 0 ? Stage::refused : up_to(kMessageIdBytesMax);
    case NoteKind::sasl_user:
    case NoteKind::client:
      if (entry.client) return Stage::refused;
      entry.client = true;
      if (note.kind == NoteKind::client) return Stage::queueing;
      message.sasl_user = note.text;
      return up_to(kSaslUserBytesMax);
    case NoteKind::campaign:
      if (!message.campaign.empty()) return Stage::refused;
      message.campaign = note.text;
      return up_to(kCampaignBytesMax);
    default:
      return Stage::refused;
  }
}

void LocalFinder::finish(Batch& batch) {
  batch.joined = active_;
  if (!active_) return;
  std::size_t whole = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    batch.local[i].whole = entries_[i].stage == Stage::over && batch.local[i].key != 0;
    whole += batch.local[i].whole;
  }
  if (whole * 8 < count_) pause_ = kPause;
}

}  // namespace bounced::parse
