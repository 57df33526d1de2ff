#include "correlate/sent.h"

#include <algorithm>
#include <array>

#include "base/hash.h"
#include "base/message.h"
#include "base/text.h"
#include "base/time.h"

namespace bounced::correlate {
namespace {

constexpr std::uint64_t kSeedPair = 0x73656E7470616972ull;
constexpr std::uint64_t kSeedQueue = 0x73656E7471756575ull;
/// A mail can be dated before the log's line of what it is about: clocks differ.
constexpr std::uint32_t kDaysAhead = 1;
/// Old records that one cut takes out.
constexpr std::size_t kForgottenPerCut = 20'000;
constexpr std::size_t kKeyBytes = 12;

std::uint64_t never_zero(std::uint64_t hash) {
  return hash == 0 ? 1 : hash;
}

/// The recipient's id is keyed by the store's secret: nobody outside can make two pairs meet.
std::uint64_t pair_hash(std::uint64_t message, const AddressId& recipient) {
  const std::uint64_t words[3] = {message, recipient.hi, recipient.lo};
  return never_zero(hash64({reinterpret_cast<const char*>(words), sizeof words}, kSeedPair));
}

std::uint64_t queue_hash(std::string_view queue_id) {
  return never_zero(hash64(queue_id, kSeedQueue));
}

std::uint32_t day_of(std::int64_t time_us) {
  return time_us <= 0 ? 0 : static_cast<std::uint32_t>(time_us / kDayUs);
}

void append_key(std::string& out, std::uint32_t day, std::uint64_t hash) {
  store::append_u32_be(out, day);
  store::append_u64_be(out, hash);
}

std::string_view without_brackets(std::string_view id) {
  if (id.size() >= 2 && id.front() == '<' && id.back() == '>') return id.substr(1, id.size() - 2);
  return id;
}

bool id_byte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("-_.@+=/$~").find(c) != std::string_view::npos;
}

/// Events after which a mail may come back.
bool is_sent(const Event& event) {
  return event.kind == EventKind::delivered || event.kind == EventKind::relayed ||
         event.kind == EventKind::deferred || event.final_failure();
}

/// What a mail may change: never that something was delivered, which logs tell better.
bool is_news(const Event& event) {
  return event.kind != EventKind::delivered && event.kind != EventKind::relayed;
}

}  // namespace

std::string_view handed_over_id(std::string_view answer) {
  constexpr std::string_view kQueued = "queued as ", kOk = "ok ";
  // Shorter ones are words ("250 Ok done") or queue ids that nobody tells again.
  constexpr std::size_t kBareBytesMin = 16;
  std::string_view rest = trim(answer);
  const bool bracketed = !rest.empty() && rest.front() == '(';
  if (bracketed) rest.remove_prefix(1);
  bool bare = false;
  if (const auto at = ascii_lower(rest).find(kQueued); at != std::string::npos) {
    rest.remove_prefix(at + kQueued.size());
  } else {
    while (!rest.empty() &&
           (rest[0] == ' ' || rest[0] == '.' || (rest[0] >= '0' && rest[0] <= '9')))
      rest.remove_prefix(1);
    if (!iequals(rest.substr(0, kOk.size()), kOk)) return {};
    rest.remove_prefix(kOk.size());
    bare = true;
  }
  rest = trim(rest);
  if (!rest.empty() && rest.front() == '<') rest.remove_prefix(1);
  std::size_t size = 0;
  while (size < rest.size() && id_byte(rest[size])) ++size;
  const std::string_view id = rest.substr(0, size);
  rest.remove_prefix(size);
  if (!bare) return id;
  // Nothing else may follow, or it is no id but prose.
  const bool ends = trim(rest).empty() || rest.front() == ')' || rest.front() == '>';
  return ends && id.size() >= kBareBytesMin ? id : std::string_view{};
}

void Sent::put_pair(std::uint32_t day, std::uint64_t message, const Event& event,
                    std::uint64_t name) {
  fresh_[{day, pair_hash(message, event.recipient_id)}] = never_zero(name);
}

/// The fingerprint by which the event's message goes: its own, unless a smart host gave it an id.
std::uint64_t Sent::name_of(const Batch& batch, const Event& event) const {
  if (event.kind != EventKind::relayed || !is_smart_host_ || event.diagnostic.empty() ||
      !is_smart_host_(batch.view(event.mta_host), event.mta_port)) {
    return event.message;
  }
  const std::string_view id = handed_over_id(batch.view(event.diagnostic));
  return id.empty() ? event.message : message_fingerprint(id);
}

void Sent::remember(const Batch& batch, const Event& event) {
  if (event.message == 0) return;
  const std::uint32_t day = day_of(event.time_us);
  newest_day_ = std::max(newest_day_, day);
  if (store_ == nullptr && fresh_.size() >= kUnstoredMax) fresh_.clear();
  const std::uint64_t name = name_of(batch, event);
  put_pair(day, event.message, event, name);
  if (name != event.message) put_pair(day, name, event, name);
  if (!event.queue_id.empty()) {
    fresh_[{day, queue_hash(batch.view(event.queue_id))}] = event.message;
  }
  ++stats_.remembered;
}

/// A mail that comes back names the message as its header did.
void Sent::remember_header(const Batch& batch, const Event& event) {
  const std::string_view id = batch.view(event.message_id);
  if (event.message == 0 || !usable_id(id)) return;
  const std::uint64_t header = message_fingerprint(id);
  if (header != event.message) put_pair(day_of(event.time_us), header, event, event.message);
}

/// What a webhook tells goes by the provider's id, and the header's Message-ID leads to it.
Result<void> Sent::rename(const Batch& batch, Event& event) const {
  const std::string_view id = batch.view(event.message_id);
  if (event.message == 0 || !event.queue_id.empty() || !usable_id(id)) return {};
  // No id of the provider's own (SendGrid's late bounces): only the header tells what it is of.
  auto known = find(pair_hash(message_fingerprint(id), event.recipient_id), day_of(event.time_us));
  if (!known) return tl::unexpected(known.error());
  if (*known != 0) event.message = *known;
  return {};
}

/// The newest value of that hash in the window that ends at `day`; 0 = none.
Result<std::uint64_t> Sent::find(std::uint64_t hash, std::uint32_t day) const {
  const std::uint32_t last = day + kDaysAhead;
  const std::uint32_t first = last > days_ + kDaysAhead ? last - days_ - kDaysAhead : 0;
  for (std::uint32_t d = last + 1; d-- > first;) {
    for (const Table* table : {&fresh_, &flying_}) {
      if (const auto it = table->find(Key{d, hash}); it != table->end()) return it->second;
    }
  }
  if (store_ == nullptr) return std::uint64_t{0};
  std::vector<std::string> bytes;
  for (std::uint32_t d = first; d <= last; ++d) append_key(bytes.emplace_back(), d, hash);
  const std::vector<std::string_view> keys(bytes.begin(), bytes.end());
  std::vector<std::optional<std::string>> values;
  if (auto got = store_->multi_get(store::Family::sent, keys, values); !got) {
    return tl::unexpected(got.error());
  }
  for (std::size_t i = values.size(); i-- > 0;) {
    if (values[i].has_value() && values[i]->size() == 8)
      return store::read_u64_be(values[i]->data());
  }
  return std::uint64_t{0};
}

Result<bool> Sent::prove(const Batch& batch, Event& event) {
  if (days_ == 0 || !is_news(event) || (event.recipient_id.hi | event.recipient_id.lo) == 0) {
    return false;
  }
  const std::uint32_t day = day_of(event.time_us);
  std::array<std::uint64_t, 3> messages{};
  if (!event.message_id.empty()) {
    messages[0] = event.message;
    // Where a provider wrote its own Message-ID, that is its id at its own domain.
    const std::string_view id = without_brackets(batch.view(event.message_id));
    const std::size_t at = id.find('@');
    if (at != 0 && at != std::string_view::npos)
      messages[2] = message_fingerprint(id.substr(0, at));
  }
  if (!event.queue_id.empty()) {
    // Where the log had no Message-ID its fingerprint is of its own: the same failure is told under
    // that one.
    auto found = find(queue_hash(batch.view(event.queue_id)), day);
    if (!found) return tl::unexpected(found.error());
    messages[1] = *found;
  }
  for (const std::uint64_t message : messages) {
    if (message == 0) continue;
    auto found = find(pair_hash(message, event.recipient_id), day);
    if (!found) return tl::unexpected(found.error());
    if (*found == 0) continue;
    event.message = *found;
    return true;
  }
  return false;
}

Result<void> Sent::apply(const Batch& batch, std::vector<Event*>& run, bool pushed) {
  bool unmatched = false;
  for (Event* event : run) {
    if (!event->has(EventFlags::kUnproven)) {
      if (days_ == 0 || !is_sent(*event)) continue;
      if (pushed && event->final_failure()) {
        if (auto renamed = rename(batch, *event); !renamed) return renamed;
      }
      remember(batch, *event);
      if (pushed) remember_header(batch, *event);
      continue;
    }
    auto proven = prove(batch, *event);
    if (!proven) return tl::unexpected(proven.error());
    if (*proven) {
      event->flags &= static_cast<std::uint8_t>(~EventFlags::kUnproven);
      ++stats_.matched;
    } else {
      unmatched = true;
      ++stats_.unmatched;
    }
  }
  if (unmatched) {
    run.erase(std::remove_if(run.begin(), run.end(),
                             [](const Event* event) { return event->has(EventFlags::kUnproven); }),
              run.end());
  }
  return {};
}

Result<void> Sent::forget_old_days(store::WriteSet& set) {
  if (newest_day_ <= days_ + kDaysAhead) return {};
  const std::uint32_t keep = newest_day_ - days_ - kDaysAhead;
  if (cleaned_ >= keep) return {};
  std::vector<std::string> old;
  auto scanned =
      store_->scan(store::Family::sent, {}, {}, [&](std::string_view key, std::string_view) {
        if (key.size() != kKeyBytes || store::read_u32_be(key.data()) >= keep) return false;
        old.emplace_back(key);
        return old.size() < kForgottenPerCut;
      });
  if (!scanned) return scanned;
  for (const std::string& key : old) set.erase(store::Family::sent, key);
  if (old.size() < kForgottenPerCut) cleaned_ = keep;
  return {};
}

Result<void> Sent::append_to(store::WriteSet& set) {
  if (store_ == nullptr) return {};
  std::string key, value;
  for (const auto& [k, v] : fresh_) {
    key.clear();
    value.clear();
    append_key(key, k.day, k.hash);
    store::append_u64_be(value, v);
    set.put(store::Family::sent, key, value);
  }
  if (auto forgotten = forget_old_days(set); !forgotten) return forgotten;
  // One cut at a time is on its way: what flew is in the store by now.
  flying_ = std::move(fresh_);
  fresh_ = Table();
  return {};
}

void Sent::committed() {
  flying_.clear();
}

}  // namespace bounced::correlate
