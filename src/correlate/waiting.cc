#include "correlate/waiting.h"

#include <utility>

#include "base/hash.h"
#include "store/varint.h"

namespace bounced::correlate {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kStoredKeyBytes = 4 + 4 + 8;
/// About what an entry takes beside its event.
constexpr std::size_t kEntryBytes = 160;

constexpr Text Event::*kTexts[] = {&Event::recipient,  &Event::sender,     &Event::queue_id,
                                   &Event::message_id, &Event::mta_host,   &Event::mta_ip,
                                   &Event::sending_ip, &Event::diagnostic, &Event::campaign};

/// Numbers of an event, each with what it may be at most. Of the verdict, those follow.
template <class Visit>
void for_numbers(Event& e, Verdict& v, Visit&& visit) {
  visit(e.id);
  visit(e.time_us);
  visit(e.offset);
  visit(e.recipient_id.hi);
  visit(e.recipient_id.lo);
  visit(e.domain_id.hi);
  visit(e.domain_id.lo);
  visit(e.queue_key);
  visit(e.source);
  visit(e.delay_ms);
  visit(e.tenant);
  visit(e.stream);
  visit(e.smtp_code);
  visit(e.mta_port);
  visit(e.enhanced.klass);
  visit(e.enhanced.subject);
  visit(e.enhanced.detail);
  visit(e.kind);
  visit(e.phase);
  visit(e.hint);
  visit(e.flags);
  visit(e.format);
  visit(v.cause);
  visit(v.said);
  visit(v.severity);
  visit(v.bounce_class);
  visit(v.category);
  visit(v.fault);
  visit(v.confidence);
  visit(v.rule);
  visit(v.generation);
}

}  // namespace

void append_event(std::string& out, const Batch& batch, const Event& event) {
  Event e = event;
  const Verdict* told = batch.verdict(event);
  Verdict verdict = told != nullptr ? *told : Verdict{};
  out.push_back(static_cast<char>(kVersion));
  for_numbers(e, verdict,
              [&](auto number) { store::append_varint(out, static_cast<std::uint64_t>(number)); });
  for (const auto text : kTexts) {
    const std::string_view words = batch.view(event.*text).substr(0, kWaitingTextBytesMax);
    store::append_varint(out, words.size());
    out.append(words);
  }
}

bool read_event(std::string_view in, Batch& batch, Event& event) {
  if (in.empty() || static_cast<std::uint8_t>(in[0]) != kVersion) return false;
  in.remove_prefix(1);
  event = Event{};
  Verdict verdict;
  bool ok = true;
  for_numbers(event, verdict, [&](auto& number) {
    using Number = std::remove_reference_t<decltype(number)>;
    std::uint64_t v = 0;
    ok = ok && store::read_varint(in, v);
    number = static_cast<Number>(v);
    ok = ok && static_cast<std::uint64_t>(number) == v;
  });
  ok = ok && static_cast<std::size_t>(event.kind) < kEventKinds && event.phase <= Phase::eod &&
       static_cast<std::size_t>(event.hint) < kProviderHints;
  for (const auto text : kTexts) {
    std::uint64_t size = 0;
    ok = ok && store::read_varint(in, size) && size <= in.size();
    if (!ok) return false;
    event.*text = batch.add(in.substr(0, size));
    in.remove_prefix(size);
  }
  if (!ok || !in.empty()) return false;
  event.sender_domain = domain_key(batch.view(event.sender));
  if (verdict.cause != Cause::none) batch.set_verdict(event, verdict);
  return true;
}

std::string Waiting::stored_key(const Key& key) {
  std::string out;
  store::append_u32_be(out, kPrefix);
  store::append_u32_be(out, key.day);
  store::append_u64_be(out, key.hash);
  return out;
}

bool Waiting::insert(const Key& key, Entry entry) {
  if (by_hash_.contains(key.hash)) return false;
  if (entry.second != 0 && by_hash_.contains(entry.second)) return false;
  by_hash_[key.hash] = key;
  if (entry.second != 0) by_hash_[entry.second] = key;
  bytes_ += entry.event.size() + kEntryBytes;
  entries_.emplace(key, std::move(entry));
  return true;
}

void Waiting::erase(Entries::iterator at) {
  by_hash_.erase(at->first.hash);
  if (at->second.second != 0) by_hash_.erase(at->second.second);
  bytes_ -= at->second.event.size() + kEntryBytes;
  entries_.erase(at);
}

Result<void> Waiting::load(const store::Store& store) {
  std::string prefix;
  store::append_u32_be(prefix, kPrefix);
  return store.scan(
      store::Family::sent, prefix, {}, [&](std::string_view key, std::string_view value) {
        if (key.size() != kStoredKeyBytes || value.size() < 8) return true;
        const Key at{store::read_u32_be(key.data() + 4), store::read_u64_be(key.data() + 8)};
        insert(at, {store::read_u64_be(value.data()), std::string(value.substr(8))});
        return bytes_ < kBytesMax;
      });
}

void Waiting::add(std::uint32_t day, std::uint64_t first, std::uint64_t second, std::string event) {
  if (first == 0) std::swap(first, second);
  if (first == 0) return;
  if (second == first) second = 0;
  const Key key{day, first};
  if (!insert(key, {second, std::move(event)})) return;
  changed_[key] = true;
  while (bytes_ > kBytesMax) {
    changed_[entries_.begin()->first] = false;
    erase(entries_.begin());
  }
}

std::string Waiting::take(std::uint64_t hash, std::uint32_t& day) {
  const auto known = by_hash_.find(hash);
  if (known == by_hash_.end()) return {};
  const auto at = entries_.find(known->second);
  if (at == entries_.end()) return {};
  day = at->first.day;
  std::string event = at->second.event;
  changed_[at->first] = false;
  erase(at);
  return event;
}

void Waiting::forget(std::uint32_t before_day) {
  while (!entries_.empty() && entries_.begin()->first.day < before_day) {
    changed_[entries_.begin()->first] = false;
    erase(entries_.begin());
  }
}

void Waiting::append_to(store::WriteSet& set) {
  std::string value;
  for (const auto& [key, there] : changed_) {
    if (!there) {
      set.erase(store::Family::sent, stored_key(key));
      continue;
    }
    const Entry& entry = entries_.at(key);
    value.clear();
    store::append_u64_be(value, entry.second);
    value += entry.event;
    set.put(store::Family::sent, stored_key(key), value);
  }
  changed_.clear();
}

}  // namespace bounced::correlate
