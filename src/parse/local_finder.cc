#include "parse/local_finder.h"

namespace bounced::parse {

LocalFinder::Stage LocalFinder::told_more(const Note& note, Entry& entry, LocalMessage& message) {
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
