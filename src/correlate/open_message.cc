#include "correlate/open_message.h"

#include <cstring>

namespace bounced::correlate {

void DeferredRecipient::set_parts(const std::array<std::string_view, kParts>& parts) {
  texts.clear();
  for (std::size_t i = 0; i < kParts; ++i) {
    const std::string_view part =
        parts[i].substr(0, i == kWords ? kLastWordsBytesMax : std::size_t{1024});
    sizes[i] = static_cast<std::uint16_t>(part.size());
    texts.append(part);
  }
}

void DeferredRecipient::judge(const Verdict& verdict) {
  if (exempts(verdict)) exempt = verdict;
  if (best.cause == Cause::none || specificity(verdict) >= specificity(best)) best = verdict;
}

bool exempts(const Verdict& verdict) {
  if (verdict.fault == Fault::sender || verdict.fault == Fault::content) return true;
  return verdict.cause >= Cause::rate_limited && verdict.cause <= Cause::rate_greylist;
}

int specificity(const Verdict& verdict) {
  const Cause cause = verdict.cause;
  if (cause == Cause::unknown_temporary || cause == Cause::unknown_permanent) return 1;
  if (cause >= Cause::mailbox_unknown && cause <= Cause::mailbox_filtered) return 4;
  if (cause >= Cause::domain_unknown && cause <= Cause::domain_down) return 3;
  // Operators' own causes, and the rest of ours: by whose trouble it is.
  switch (verdict.fault) {
    case Fault::recipient:
      return 4;
    case Fault::domain:
      return 3;
    case Fault::receiver:
    case Fault::network:
      return 2;
    default:
      return cause == Cause::none ? 0 : 1;
  }
}

bool OpenMessage::set_text(Field field, std::string_view value) {
  const auto number = static_cast<std::size_t>(field);
  value = value.substr(0, kFieldBytesMax[number]);
  if (text(field) == value) return false;
  copy_stamp = 0;
  if (!overflow && used + value.size() <= kInlineBytes) {
    std::memcpy(bytes + used, value.data(), value.size());
    pieces[number] = {used, static_cast<std::uint16_t>(value.size())};
    used = static_cast<std::uint16_t>(used + value.size());
    return true;
  }
  // Rare: rebuilt whole, so that replaced texts leave no garbage behind.
  auto joined = std::make_unique<std::string>();
  for (std::size_t i = 0; i < kFields; ++i) {
    const std::string_view part = i == number ? value : text(static_cast<Field>(i));
    const auto offset = static_cast<std::uint16_t>(joined->size());
    joined->append(part);
    // Reads of the old place are done for this field: its piece may change now, because the
    // bytes themselves are replaced only after the loop.
    pieces[i] = {offset, static_cast<std::uint16_t>(part.size())};
  }
  used = static_cast<std::uint16_t>(joined->size());
  overflow = std::move(joined);
  return true;
}

void OpenMessage::reset(std::uint64_t new_key, std::int64_t time_us) {
  key = new_key;
  first_us = time_us;
  fingerprint = 0;
  overflow.reset();
  first_recipient = last_recipient = 0;
  copy_stamp = 0;
  nrcpt = 0;
  used = tenant = stream = done = 0;
  flags = static_cast<std::uint8_t>((flags & (kListed | kStored)) | kAlive);
  pieces = {};
}

}  // namespace bounced::correlate
