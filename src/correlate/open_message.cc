#include "correlate/open_message.h"

#include <algorithm>

namespace bounced::correlate {
namespace {

constexpr std::size_t kPartBytesMax = 1024;
/// A freed recipient keeps a buffer up to this size for the next one.
constexpr std::uint16_t kKeptBytesMax = 512;

}  // namespace

void DeferredRecipient::set_parts(const std::array<std::string_view, kParts>& parts) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < kParts; ++i) {
    sizes[i] = static_cast<std::uint16_t>(
        std::min(parts[i].size(), i == kWords ? kLastWordsBytesMax : kPartBytesMax));
    total += sizes[i];
  }
  if (total > texts.capacity) {
    texts.capacity = static_cast<std::uint16_t>((total + 127) / 128 * 128);
    texts.bytes.reset(new char[texts.capacity]);
  }
  texts.size = static_cast<std::uint16_t>(total);
  char* to = texts.bytes.get();
  for (std::size_t i = 0; i < kParts; ++i) {
    copy_short(to, parts[i].data(), sizes[i]);
    to += sizes[i];
  }
}

void DeferredRecipient::reset(const AddressId& recipient) {
  TextBuffer kept;
  if (texts.capacity <= kKeptBytesMax) kept = std::move(texts);
  kept.size = 0;
  *this = DeferredRecipient{};
  id = recipient;
  texts = std::move(kept);
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

void OpenMessage::rebuild(Field field, std::string_view value) {
  const auto number = static_cast<std::size_t>(field);
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
}

}  // namespace bounced::correlate
