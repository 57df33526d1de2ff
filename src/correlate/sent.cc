#include "correlate/sent.h"

#include <algorithm>
#include <array>

#include "base/address.h"
#include "base/hash.h"
#include "base/message.h"
#include "base/text.h"
#include "base/time.h"
#include "store/varint.h"

namespace bounced::correlate {
namespace {

constexpr std::uint64_t kSeedPair = 0x73656E7470616972ull;
constexpr std::uint64_t kSeedQueue = 0x73656E7471756575ull;
constexpr std::uint64_t kSeedName = 0x73656E746E616D65ull;
constexpr std::uint64_t kSeedRecipient = 0x73656E7472637074ull;
/// A mail can be dated before the log's line of what it is about: clocks differ.
constexpr std::uint32_t kDaysAhead = 1;
/// Old records that one cut takes out.
constexpr std::size_t kForgottenPerCut = 20'000;
constexpr std::size_t kKeyBytes = 12;
constexpr std::size_t kFailedKeyBytes = 4 + 4 + 8;
constexpr std::size_t kRecipientKeyBytes = 4 + 8 + 4;
constexpr std::size_t kNameBytesMax = 255;

std::uint64_t never_zero(std::uint64_t hash) {
  return hash == 0 ? 1 : hash;
}

/// The recipient's id is keyed by the store's secret: nobody outside can make two pairs meet.
std::uint64_t pair_hash(std::uint64_t message, const AddressId& recipient,
                        std::uint64_t seed = kSeedPair) {
  const std::uint64_t words[3] = {message, recipient.hi, recipient.lo};
  return never_zero(hash64({reinterpret_cast<const char*>(words), sizeof words}, seed));
}

std::uint64_t queue_hash(std::string_view queue_id) {
  return never_zero(hash64(queue_id, kSeedQueue));
}

std::uint64_t recipients_hash(std::uint64_t message) {
  return never_zero(
      hash64({reinterpret_cast<const char*>(&message), sizeof message}, kSeedRecipient));
}

std::uint32_t day_of(std::int64_t time_us) {
  return time_us <= 0 ? 0 : static_cast<std::uint32_t>(time_us / kDayUs);
}

void append_key(std::string& out, std::uint32_t day, std::uint64_t hash) {
  store::append_u32_be(out, day);
  store::append_u64_be(out, hash);
}

/// What is known of a message at a recipient, weakest first. Stored: append only.
enum class Fate : std::uint8_t {
  sent,  ///< deferred or relayed: on its way
  delivered,
  failed,
  settled,  ///< delivered and failed: a Revision has told
};

Fate fate_of_event(const Batch& batch, const Event& event) {
  if (event.kind == EventKind::delivered) return Fate::delivered;
  if (!event.final_failure()) return Fate::sent;
  const Verdict* verdict = batch.verdict(event);
  return verdict == nullptr || verdict->cause == Cause::none || is_no_failure(verdict->cause)
             ? Fate::sent
             : Fate::failed;
}

// A value: time (8 bytes), and behind it (not in older stores) the Fate and what rates counted the
// event under.
Fate fate_byte(std::string_view value) {
  return static_cast<Fate>(value[8]);
}
bool is_delivery(std::string_view value) {
  return value.size() > 8 && fate_byte(value) == Fate::delivered;
}
std::string settled(std::string value) {
  value[8] = static_cast<char>(Fate::settled);
  return value;
}

void append_name(std::string& out, std::string_view name) {
  name = name.substr(0, kNameBytesMax);
  out.push_back(static_cast<char>(name.size()));
  out.append(name);
}

std::string fate_of(const Batch& batch, const Event& event) {
  std::string out;
  store::append_u64_be(out, static_cast<std::uint64_t>(event.time_us));
  const Fate fate = fate_of_event(batch, event);
  out.push_back(static_cast<char>(fate));
  if (fate != Fate::delivered && fate != Fate::failed) return out;
  store::append_varint(out, event.tenant);
  store::append_varint(out, event.stream);
  append_name(out, raw_domain(batch.view(event.sender)));
  append_name(out, batch.view(event.campaign));
  if (fate == Fate::delivered) return out;
  const Verdict& verdict = *batch.verdict(event);
  store::append_varint(out, static_cast<std::uint64_t>(verdict.cause));
  store::append_varint(out, static_cast<std::uint64_t>(verdict.bounce_class));
  store::append_varint(out, event.kind == EventKind::expired ? 1 : 0);
  append_name(out, batch.view(event.mta_host));
  return out;
}

bool read_name(std::string_view& in, std::string_view& out) {
  if (in.empty()) return false;
  const std::size_t size = static_cast<unsigned char>(in[0]);
  if (in.size() < 1 + size) return false;
  out = in.substr(1, size);
  in.remove_prefix(1 + size);
  return true;
}

/// False: not known (an older store's), or malformed.
bool read_fate(std::string_view in, Batch& batch, Revision& out) {
  if (in.size() < 9) return false;
  const Fate fate = fate_byte(in);
  if (fate != Fate::delivered && fate != Fate::failed) return false;
  out.time_us = static_cast<std::int64_t>(store::read_u64_be(in.data()));
  in.remove_prefix(9);
  std::uint64_t tenant = 0, stream = 0, cause = 0, bounce_class = 0, expired = 0;
  std::string_view sender, campaign, host;
  if (!store::read_varint(in, tenant) || !store::read_varint(in, stream) ||
      !read_name(in, sender) || !read_name(in, campaign)) {
    return false;
  }
  if (fate == Fate::failed &&
      (!store::read_varint(in, cause) || !store::read_varint(in, bounce_class) ||
       !store::read_varint(in, expired) || !read_name(in, host))) {
    return false;
  }
  out.tenant = static_cast<std::uint16_t>(tenant);
  out.stream = static_cast<std::uint16_t>(stream);
  out.cause = static_cast<Cause>(cause);
  out.bounce_class = static_cast<BounceClass>(bounce_class);
  out.expired = expired != 0;
  if (!sender.empty()) out.sender = batch.add("@" + std::string(sender));
  out.campaign = batch.add(campaign);
  out.mta_host = batch.add(host);
  return true;
}

/// Fingerprints as values.
std::string value_of(std::uint64_t message) {
  std::string out;
  store::append_u64_be(out, message);
  return out;
}
/// 0: there is none.
std::uint64_t message_of(std::string_view value) {
  return value.size() == 8 ? store::read_u64_be(value.data()) : 0;
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

bool Sent::within(std::uint32_t day, std::uint32_t of_day) const {
  return day <= of_day + kDaysAhead && day + days_ >= of_day;
}

Result<void> Sent::open(const store::Store& store) {
  store_ = &store;
  if (days_ == 0) return {};
  if (auto loaded = waiting_.load(store); !loaded) return loaded;
  std::string prefix;
  store::append_u32_be(prefix, kFailedPrefix);
  return store.scan(store::Family::sent, prefix, {}, [&](std::string_view key, std::string_view) {
    if (key.size() == kFailedKeyBytes) {
      failed_[store::read_u64_be(key.data() + 8)] = store::read_u32_be(key.data() + 4);
    }
    return failed_.size() < kFailedMax;
  });
}

void Sent::put(std::uint32_t day, std::uint64_t hash, std::string value) {
  if (store_ == nullptr && fresh_.size() >= kUnstoredMax) fresh_.clear();
  fresh_[{day, hash}] = std::move(value);
}

Result<std::string> Sent::get(const Key& key) const {
  for (const Table* table : {&fresh_, &flying_}) {
    if (const auto it = table->find(key); it != table->end()) return it->second;
  }
  if (store_ == nullptr) return std::string();
  std::string bytes;
  append_key(bytes, key.day, key.hash);
  auto got = store_->get(store::Family::sent, bytes);
  if (!got) return tl::unexpected(got.error());
  return got->has_value() ? std::move(**got) : std::string();
}

/// The newest value of that hash in the window that ends at `day`; or that of a delivery, if there
/// is one and it is asked for.
Result<Sent::Found> Sent::find(std::uint64_t hash, std::uint32_t day, bool delivery_first) const {
  const std::uint32_t last = day + kDaysAhead;
  const std::uint32_t first = last > days_ + kDaysAhead ? last - days_ - kDaysAhead : 0;
  Found best;
  const auto take = [&](std::uint32_t d, const std::string& value) {
    if (best.value.empty() || (delivery_first && is_delivery(value) && !is_delivery(best.value))) {
      best = {d, value};
    }
    return !delivery_first || is_delivery(best.value);
  };
  for (std::uint32_t d = last + 1; d-- > first;) {
    for (const Table* table : {&fresh_, &flying_}) {
      const auto it = table->find(Key{d, hash});
      if (it == table->end()) continue;
      if (take(d, it->second)) return best;
      break;
    }
  }
  if (store_ == nullptr) return best;
  std::vector<std::string> bytes;
  for (std::uint32_t d = first; d <= last; ++d) append_key(bytes.emplace_back(), d, hash);
  const std::vector<std::string_view> keys(bytes.begin(), bytes.end());
  std::vector<std::optional<std::string>> values;
  if (auto got = store_->multi_get(store::Family::sent, keys, values); !got) {
    return tl::unexpected(got.error());
  }
  for (std::size_t i = values.size(); i-- > 0;) {
    const std::uint32_t d = first + static_cast<std::uint32_t>(i);
    const bool newer = fresh_.contains(Key{d, hash}) || flying_.contains(Key{d, hash});
    if (newer || !values[i].has_value() || values[i]->size() < 8) continue;
    if (take(d, *values[i])) break;
  }
  return best;
}

/// A delivery of a message that is known to have failed.
Result<bool> Sent::settle_delivery(Batch& batch, const Event& event, std::uint64_t pair,
                                   std::size_t at) {
  const auto failed = failed_.find(pair);
  if (failed == failed_.end()) return false;
  const Key key{failed->second, pair};
  auto value = get(key);
  if (!value) return tl::unexpected(value.error());
  failed_.erase(failed);
  failed_changes_.emplace_back(key, false);
  Revision other;
  if (!read_fate(*value, batch, other) || other.cause == Cause::none) return false;
  other.at = static_cast<std::uint32_t>(at);
  batch.revisions.push_back(other);
  ++stats_.revised;
  put(key.day, pair, settled(std::move(*value)));
  put(day_of(event.time_us), pair, settled(fate_of(batch, event)));
  return true;
}

/// A failure of a message that is known to have been delivered.
Result<bool> Sent::settle_failure(Batch& batch, const Event& event, std::uint64_t pair,
                                  std::size_t at) {
  auto found = find(pair, day_of(event.time_us), true);
  if (!found) return tl::unexpected(found.error());
  if (found->value.size() > 8 && fate_byte(found->value) == Fate::settled) return true;
  Revision other;
  if (!is_delivery(found->value) || !read_fate(found->value, batch, other)) return false;
  other.at = static_cast<std::uint32_t>(at);
  batch.revisions.push_back(other);
  ++stats_.revised;
  put(found->day, pair, settled(std::move(found->value)));
  return true;
}

/// The name that a smart host gave the event's message; its own fingerprint when none did.
std::uint64_t Sent::given_name(const Batch& batch, const Event& event) const {
  if (event.kind != EventKind::relayed || !is_smart_host_ || event.diagnostic.empty() ||
      !is_smart_host_(batch.view(event.mta_host), event.mta_port)) {
    return event.message;
  }
  const std::string_view id = handed_over_id(batch.view(event.diagnostic));
  return id.empty() ? event.message : message_fingerprint(id);
}

void Sent::put_name(std::uint64_t message, const Event& event, std::uint64_t name) {
  if (message == name) return;
  put(day_of(event.time_us), pair_hash(message, event.recipient_id, kSeedName),
      value_of(never_zero(name)));
}

/// What a message goes by at the event's recipient.
Result<std::uint64_t> Sent::name_of(std::uint64_t message, const Event& event) const {
  auto found = find(pair_hash(message, event.recipient_id, kSeedName), day_of(event.time_us));
  if (!found) return tl::unexpected(found.error());
  const std::uint64_t name = message_of(found->value);
  return name != 0 ? name : message;
}

/// A webhook without the provider's own id (SendGrid's late bounces): the header leads to it.
Result<void> Sent::rename(const Batch& batch, Event& event) const {
  const std::string_view id = batch.view(event.message_id);
  if (event.message == 0 || !event.queue_id.empty() || !usable_id(id)) return {};
  const std::uint64_t header = message_fingerprint(id);
  auto name = name_of(header, event);
  if (!name) return tl::unexpected(name.error());
  if (*name != header) event.message = *name;
  return {};
}

/// What became of a message at a recipient, by a source that is believed. `at`: in the run.
Result<void> Sent::observe(Batch& batch, const Event& event, std::uint64_t name, std::size_t at) {
  const std::uint32_t day = day_of(event.time_us);
  const std::uint64_t pair = pair_hash(name, event.recipient_id);
  const Fate fate = fate_of_event(batch, event);
  auto settled = fate == Fate::delivered ? settle_delivery(batch, event, pair, at)
                 : fate == Fate::failed  ? settle_failure(batch, event, pair, at)
                                         : Result<bool>(false);
  if (!settled) return tl::unexpected(settled.error());
  if (*settled) return {};
  std::string& value = fresh_[{day, pair}];
  // The delivery of another copy, or what a relay says, must not hide what is known.
  if (value.size() > 8 && fate_byte(value) > fate) return {};
  value = fate_of(batch, event);
  if (fate != Fate::failed || failed_.size() >= kFailedMax) return {};
  if (failed_.emplace(pair, day).second) failed_changes_.emplace_back(Key{day, pair}, true);
  return {};
}

/// A mail that came before this line has its turn behind it.
Result<void> Sent::take_waiting(Batch& batch, const Event& event, std::uint64_t name,
                                std::uint64_t hash, std::vector<Event*>& out) {
  std::uint32_t day = 0;
  const std::string bytes = waiting_.take(hash, day);
  if (bytes.empty()) return {};
  Event late;
  if (!within(day_of(event.time_us), day) || !read_event(bytes, batch, late)) return {};
  late.flags &= static_cast<std::uint8_t>(~EventFlags::kUnproven);
  late.message = name;
  batch.synthesised.push_back(late);
  out.push_back(&batch.synthesised.back());
  ++stats_.matched;
  if (late.final_failure()) return observe(batch, late, name, out.size() - 1);
  return {};
}

/// `out` ends with the event.
Result<void> Sent::remember(Batch& batch, const Event& event, bool pushed,
                            std::vector<Event*>& out) {
  if (event.message == 0 || (event.recipient_id.hi | event.recipient_id.lo) == 0) return {};
  const std::uint32_t day = day_of(event.time_us);
  newest_day_ = std::max(newest_day_, day);
  if (store_ == nullptr && fresh_.size() >= kUnstoredMax) fresh_.clear();
  const std::uint64_t name = given_name(batch, event);
  put_name(event.message, event, name);
  if (auto done = observe(batch, event, name, out.size() - 1); !done) return done;
  // By what a mail that comes back may call the message.
  std::array<std::uint64_t, 3> hashes = {pair_hash(event.message, event.recipient_id)};
  if (!event.queue_id.empty()) {
    const std::uint64_t queue = queue_hash(batch.view(event.queue_id));
    fresh_[{day, queue}] = value_of(event.message);
    hashes[1] = pair_hash(queue, event.recipient_id);
  }
  if (const std::string_view id = batch.view(event.message_id); pushed && usable_id(id)) {
    const std::uint64_t header = message_fingerprint(id);
    put_name(header, event, name);
    hashes[2] = pair_hash(header, event.recipient_id);
  }
  ++stats_.remembered;
  if (keeps_ && event.kind != EventKind::deferred) keep_recipient(batch, event, day);
  // A deferral is no end: what waits is told behind the outcome, as if it had come then.
  if (waiting_.empty() || event.kind == EventKind::deferred) return {};
  for (const std::uint64_t hash : hashes) {
    if (hash == 0) continue;
    if (auto done = take_waiting(batch, event, name, hash, out); !done) return done;
  }
  return {};
}

void Sent::keep_waiting(const Batch& batch, const Event& event) {
  if (days_ == 0 || !is_news(event) || (event.recipient_id.hi | event.recipient_id.lo) == 0) return;
  std::uint64_t by_id = 0, by_queue = 0;
  if (!event.message_id.empty()) by_id = pair_hash(event.message, event.recipient_id);
  if (!event.queue_id.empty()) {
    by_queue = pair_hash(queue_hash(batch.view(event.queue_id)), event.recipient_id);
  }
  if ((by_id | by_queue) == 0) return;
  std::string bytes;
  append_event(bytes, batch, event);
  waiting_.add(day_of(event.time_us), by_id, by_queue, std::move(bytes));
}

/// Fingerprints of the messages that a mail names: by Message-ID, by queue id, by a provider's id;
/// 0 = none.
Result<std::array<std::uint64_t, 3>> Sent::messages_of(const Batch& batch,
                                                       const Event& event) const {
  std::array<std::uint64_t, 3> messages{};
  if (!event.message_id.empty()) {
    messages[0] = event.message;
    // Where a provider wrote its own Message-ID, that is its id at its own domain.
    const std::string_view id = without_brackets(batch.view(event.message_id));
    const std::size_t at = id.find('@');
    if (at != 0 && at != std::string_view::npos) {
      messages[2] = message_fingerprint(id.substr(0, at));
    }
  }
  if (event.queue_id.empty()) return messages;
  // Where the log had no Message-ID its fingerprint is of its own: the same failure is told under
  // that one.
  auto found = find(queue_hash(batch.view(event.queue_id)), day_of(event.time_us));
  if (!found) return tl::unexpected(found.error());
  messages[1] = message_of(found->value);
  return messages;
}

void Sent::keep_recipient(const Batch& batch, const Event& event, std::uint32_t day) {
  if (store_ == nullptr && recipients_.size() >= kUnstoredMax) recipients_.clear();
  std::string key, value;
  append_key(key, day, recipients_hash(event.message));
  store::append_u32_be(key, static_cast<std::uint32_t>(event.recipient_id.lo));
  for (const AddressId& id : {event.recipient_id, event.domain_id}) {
    store::append_u64_be(value, id.hi);
    store::append_u64_be(value, id.lo);
  }
  value += batch.view(event.recipient);
  recipients_[key] = std::move(value);
}

/// A report that names nobody is about the one to whom that message went, if it was one.
Result<bool> Sent::find_recipient(Batch& batch, Event& event) const {
  auto messages = messages_of(batch, event);
  if (!messages) return tl::unexpected(messages.error());
  const std::uint32_t last = day_of(event.time_us) + kDaysAhead;
  const std::uint32_t first = last > days_ + kDaysAhead ? last - days_ - kDaysAhead : 0;
  std::string only;
  bool several = false;
  const auto take = [&](std::string_view value) {
    if (value.size() <= 32) return true;
    several = several || (!only.empty() && only.substr(0, 16) != value.substr(0, 16));
    only = value;
    return !several;
  };
  for (const std::uint64_t message : *messages) {
    for (std::uint32_t d = first; message != 0 && d <= last; ++d) {
      std::string prefix;
      append_key(prefix, d, recipients_hash(message));
      if (store_ != nullptr) {
        auto scanned = store_->scan(store::Family::sent, prefix, {},
                                    [&](std::string_view key, std::string_view value) {
                                      return key.size() != kRecipientKeyBytes || take(value);
                                    });
        if (!scanned) return tl::unexpected(scanned.error());
      }
      for (const auto* table : {&recipients_, &recipients_flying_}) {
        for (auto it = table->lower_bound(prefix);
             it != table->end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it) {
          take(it->second);
        }
      }
    }
  }
  if (only.empty() || several) return false;
  event.recipient_id = {store::read_u64_be(only.data()), store::read_u64_be(only.data() + 8)};
  event.domain_id = {store::read_u64_be(only.data() + 16), store::read_u64_be(only.data() + 24)};
  event.domain = 0;
  event.recipient = batch.add(std::string_view(only).substr(32));
  return true;
}

Result<bool> Sent::prove(Batch& batch, Event& event) {
  if (days_ == 0 || !is_news(event)) return false;
  if ((event.recipient_id.hi | event.recipient_id.lo) == 0) {
    const bool asked = keeps_ && event.kind == EventKind::complained;
    auto found = asked ? find_recipient(batch, event) : Result<bool>(false);
    if (found && !*found) ++stats_.redacted;
    if (!found || !*found) return found;
  }
  auto messages = messages_of(batch, event);
  if (!messages) return tl::unexpected(messages.error());
  for (const std::uint64_t message : *messages) {
    if (message == 0) continue;
    auto name = name_of(message, event);
    if (!name) return tl::unexpected(name.error());
    auto found = find(pair_hash(*name, event.recipient_id), day_of(event.time_us));
    if (!found) return tl::unexpected(found.error());
    if (found->value.empty()) continue;
    event.message = *name;
    return true;
  }
  return false;
}

Result<void> Sent::apply(Batch& batch, std::vector<Event*>& run, bool pushed) {
  batch.revisions.clear();
  std::vector<Event*> out;
  out.reserve(run.size() + 8);
  for (Event* event : run) {
    if (!event->has(EventFlags::kUnproven)) {
      out.push_back(event);
      if (days_ == 0 || !is_sent(*event)) continue;
      if (pushed && event->final_failure()) {
        if (auto done = rename(batch, *event); !done) return done;
      }
      if (auto done = remember(batch, *event, pushed, out); !done) return done;
      continue;
    }
    auto proven = prove(batch, *event);
    if (!proven) return tl::unexpected(proven.error());
    if (!*proven) {
      ++stats_.unmatched;
      keep_waiting(batch, *event);
      continue;
    }
    event->flags &= static_cast<std::uint8_t>(~EventFlags::kUnproven);
    ++stats_.matched;
    out.push_back(event);
    if (!event->final_failure()) continue;
    if (auto done = observe(batch, *event, event->message, out.size() - 1); !done) return done;
  }
  run.swap(out);
  return {};
}

Result<void> Sent::forget_old_days(store::WriteSet& set) {
  if (newest_day_ <= days_ + kDaysAhead) return {};
  const std::uint32_t keep = newest_day_ - days_ - kDaysAhead;
  if (cleaned_ >= keep) return {};
  std::vector<std::string> old;
  auto scanned =
      store_->scan(store::Family::sent, {}, {}, [&](std::string_view key, std::string_view) {
        if (key.size() < kKeyBytes || store::read_u32_be(key.data()) >= keep) return false;
        old.emplace_back(key);
        return old.size() < kForgottenPerCut;
      });
  if (!scanned) return scanned;
  for (const std::string& key : old) set.erase(store::Family::sent, key);
  waiting_.forget(keep);
  for (auto it = failed_.begin(); it != failed_.end();) {
    const auto at = it++;
    if (at->second >= keep) continue;
    failed_changes_.emplace_back(Key{at->second, at->first}, false);
    failed_.erase(at);
  }
  if (old.size() < kForgottenPerCut) cleaned_ = keep;
  return {};
}

Result<void> Sent::append_to(store::WriteSet& set) {
  if (store_ == nullptr) return {};
  std::string key;
  for (const auto& [k, value] : fresh_) {
    key.clear();
    append_key(key, k.day, k.hash);
    set.put(store::Family::sent, key, value);
  }
  if (auto forgotten = forget_old_days(set); !forgotten) return forgotten;
  for (const auto& [k, there] : failed_changes_) {
    key.clear();
    store::append_u32_be(key, kFailedPrefix);
    append_key(key, k.day, k.hash);
    if (there) {
      set.put(store::Family::sent, key, {});
    } else {
      set.erase(store::Family::sent, key);
    }
  }
  failed_changes_.clear();
  waiting_.append_to(set);
  for (const auto& [k, value] : recipients_) set.put(store::Family::sent, k, value);
  recipients_flying_ = std::move(recipients_);
  recipients_.clear();
  // One cut at a time is on its way: what flew is in the store by now.
  flying_ = std::move(fresh_);
  fresh_ = Table();
  return {};
}

void Sent::committed() {
  flying_.clear();
  recipients_flying_.clear();
}

}  // namespace bounced::correlate
