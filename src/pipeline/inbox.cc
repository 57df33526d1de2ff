#include "pipeline/inbox.h"

#include <algorithm>

#include "pipeline/engine_impl.h"

namespace bounced::pipeline {
namespace {

/// Accepted and not yet in a block: beyond it callers have to come again.
constexpr std::size_t kBacklogBytesMax = std::size_t{32} << 20;
/// A record is closed when it has so many bytes; it fits in a block with all that follows them.
constexpr std::size_t kRecordBytes = std::size_t{384} << 10;
constexpr std::size_t kSourcesMax = 1000, kRecordSourcesMax = 64, kNameBytesMax = 255;
constexpr std::size_t kBlocks = 8;
/// Stored records read at once.
constexpr std::size_t kStoredAtOnce = 32;
/// The feeder gathers for so long what comes next: else each group, of a few events when many
/// connections wait for one another, would wake four threads to apply it.
constexpr std::int64_t kGatherUs = 3'000;
constexpr std::string_view kNextKey = kInboxNextKey;

std::uint32_t day_of(std::int64_t time_us) {
  return static_cast<std::uint32_t>(std::max<std::int64_t>(0, time_us) / kDayUs);
}

std::uint16_t narrow(std::uint32_t id) {
  return id <= UINT16_MAX ? static_cast<std::uint16_t>(id) : std::uint16_t{0};
}

}  // namespace

Inbox::~Inbox() {
  abort();
  stop();
}

Result<void> Inbox::open() {
  const store::Store& store = *engine_.store;
  auto next = store.get(store::Family::meta, kNextKey);
  if (!next) return tl::unexpected(next.error());
  if (next->has_value() && (*next)->size() == 8) next_ = store::read_u64_be((*next)->data());
  bool left = false;
  auto scanned =
      store.scan_reverse(store::Family::inbox, {}, [&](std::string_view key, std::string_view) {
        if (key.size() != 8) return true;
        next_ = std::max(next_, store::read_u64_be(key.data()) + 1);
        left = true;
        return false;
      });
  stored_end_ = left ? next_ : 0;
  return scanned;
}

void Inbox::start() {
  if (stored_end_ == 0 || feeder_.joinable()) return;
  pool_ = std::make_unique<BlockPool>(kBlocks);
  feeder_ = std::thread([this] { feed(); });
}

Result<PushId> Inbox::add(parse::PushSource source) {
  for (std::string* text : {&source.name, &source.format, &source.tenant, &source.stream}) {
    if (text->size() > kNameBytesMax) {
      return fail(ErrorCode::usage, "push source", *text, "the name is too long");
    }
  }
  const std::lock_guard lock(mutex_);
  if (stopping_) return fail(ErrorCode::cancelled, "push source", source.name, "stopping");
  if (sources_.size() >= kSourcesMax) {
    return fail(ErrorCode::usage, "push source", source.name, "there are too many");
  }
  sources_.push_back(std::make_unique<parse::PushSource>(std::move(source)));
  if (!running_) {
    running_ = true;
    if (pool_ == nullptr) pool_ = std::make_unique<BlockPool>(kBlocks);
    writer_ = std::thread([this] { write(); });
    if (!feeder_.joinable()) feeder_ = std::thread([this] { feed(); });
  }
  return static_cast<PushId>(sources_.size() - 1);
}

/// One with room for at least an event of that source; under the lock.
Inbox::Draft& Inbox::open_draft(PushId source) {
  if (drafts_.empty() || drafts_.back().events.size() >= kRecordBytes ||
      drafts_.back().sources.size() >= kRecordSourcesMax) {
    drafts_.emplace_back();
  }
  std::vector<PushId>& sources = drafts_.back().sources;
  if (std::find(sources.begin(), sources.end(), source) == sources.end()) sources.push_back(source);
  return drafts_.back();
}

void Inbox::accept(PushId source, const Batch& batch, Engine::Accepted done) {
  if (batch.events.empty()) return done({});
  const std::int64_t now_us = system_clock().now_us();
  std::unique_lock lock(mutex_);
  if (stopping_ || source >= sources_.size() || engine_.stopping.load(std::memory_order_relaxed)) {
    lock.unlock();
    return done(fail(ErrorCode::cancelled, "accept", "inbox", "stopping"));
  }
  if (backlog_.load(std::memory_order_relaxed) >= kBacklogBytesMax) {
    lock.unlock();
    overloaded_.fetch_add(1, std::memory_order_relaxed);
    return done(fail(ErrorCode::busy, "accept", "inbox", "too much waits to be applied"));
  }
  std::uint64_t clamped = 0;
  std::size_t bytes = 0;
  for (std::size_t at = 0; at < batch.events.size();) {
    Draft& draft = open_draft(source);
    const std::size_t before = draft.events.size();
    for (; at < batch.events.size() && draft.events.size() < kRecordBytes; ++at) {
      if (parse::append_push_event(draft.events, source, batch, at, now_us)) ++clamped;
    }
    bytes += draft.events.size() - before;
  }
  backlog_.fetch_add(bytes, std::memory_order_relaxed);
  if (clamped != 0) clamped_.fetch_add(clamped, std::memory_order_relaxed);
  const bool wake = waiters_.empty();
  waiters_.push_back({std::move(done), static_cast<std::uint32_t>(batch.events.size())});
  lock.unlock();
  if (wake) work_.notify_one();
}

// --- the writer ---------------------------------------------------------------------------------

void Inbox::write() {
  name_thread("inbox");
  std::vector<Draft> drafts;
  std::vector<Waiter> waiters;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] { return stopping_ || !waiters_.empty(); });
      if (waiters_.empty()) break;
      drafts.swap(drafts_);
      waiters.swap(waiters_);
    }
    commit(drafts, waiters);
    drafts.clear();
    waiters.clear();
  }
  const std::lock_guard lock(feed_mutex_);
  fed_all_ = true;
  feed_work_.notify_one();
}

void Inbox::commit(std::vector<Draft>& drafts, std::vector<Waiter>& waiters) {
  const std::int64_t begun = monotonic_us();
  std::vector<Record> records;
  const Result<void> result = put(drafts, records);
  groups_.fetch_add(1, std::memory_order_relaxed);
  group_us_.fetch_add(static_cast<std::uint64_t>(monotonic_us() - begun),
                      std::memory_order_relaxed);
  if (result) {
    hand_on(records);
  } else {
    spdlog::error("{}", result.error().message());
    for (const Draft& draft : drafts) {
      backlog_.fetch_sub(draft.events.size(), std::memory_order_relaxed);
    }
  }
  std::uint64_t events = 0;
  for (const Waiter& waiter : waiters) events += waiter.events;
  (result ? requests_ : failed_).fetch_add(waiters.size(), std::memory_order_relaxed);
  if (result) events_.fetch_add(events, std::memory_order_relaxed);
  for (Waiter& waiter : waiters) waiter.done(result);
}

/// One synced write of all drafts as records.
Result<void> Inbox::put(std::vector<Draft>& drafts, std::vector<Record>& records) {
  accepted_us_ = std::max(accepted_us_, system_clock().now_us());
  store::WriteSet set;
  std::string key;
  std::uint64_t sequence = next_;
  for (const Draft& draft : drafts) {
    Record record;
    record.sequence = sequence++;
    record.backlog = draft.events.size();
    std::map<std::uint32_t, const parse::PushSource*> sources;
    {
      const std::lock_guard lock(mutex_);
      for (const PushId number : draft.sources) sources[number] = sources_[number].get();
    }
    record.bytes.reserve(draft.events.size() + 128);
    parse::append_push_head(record.bytes, accepted_us_, sources);
    record.bytes += draft.events;
    key.clear();
    store::append_u64_be(key, record.sequence);
    set.put(store::Family::inbox, key, record.bytes);
    records.push_back(std::move(record));
  }
  auto done = engine_.store->put_now(set);
  if (done) {
    next_ = sequence;
    written_.store(sequence, std::memory_order_release);
  }
  return done;
}

void Inbox::hand_on(std::vector<Record>& records) {
  const std::lock_guard lock(feed_mutex_);
  const bool wake = records_.empty();
  for (Record& record : records) records_.push_back(std::move(record));
  if (wake) feed_work_.notify_one();
}

// --- the feeder ---------------------------------------------------------------------------------

std::shared_ptr<LaneInfo> Inbox::new_lane(bool live) {
  auto lane = std::make_shared<LaneInfo>();
  lane->live = live;
  lane->push = true;
  lane->format = parse::find_push_format("push");
  engine_.registry.add(lane);
  lane_sequence_ = 0;
  return lane;
}

void Inbox::feed() {
  name_thread("inbox feeder");
  std::shared_ptr<LaneInfo> lane;
  if (stored_end_ != 0) feed_stored(lane);
  lane.reset();
  std::deque<Record> records;
  while (true) {
    {
      std::unique_lock lock(feed_mutex_);
      feed_work_.wait(lock, [&] { return fed_all_ || !records_.empty(); });
      if (records_.empty()) return;
      records.swap(records_);
    }
    if (lane == nullptr) lane = new_lane(true);
    for (Record& record : records) {
      if (!push(*lane, record.sequence, record.bytes)) return;
      record.bytes = {};
      backlog_.fetch_sub(record.backlog, std::memory_order_relaxed);
    }
    records.clear();
    flush(*lane);
    std::this_thread::sleep_for(std::chrono::microseconds(kGatherUs));
  }
}

/// What an earlier run accepted and did not apply.
void Inbox::feed_stored(std::shared_ptr<LaneInfo>& lane) {
  lane = new_lane(false);
  std::uint64_t from = 0;
  while (from < stored_end_) {
    std::vector<Record> records;
    std::string key;
    store::append_u64_be(key, from);
    auto scanned = engine_.store->scan(
        store::Family::inbox, {}, key, [&](std::string_view at, std::string_view value) {
          if (at.size() != 8) return true;
          const std::uint64_t sequence = store::read_u64_be(at.data());
          if (sequence >= stored_end_) return false;
          records.push_back({sequence, std::string(value), 0});
          return records.size() < kStoredAtOnce;
        });
    if (!scanned) return engine_.die(scanned.error());
    if (records.empty()) break;
    from = records.back().sequence + 1;
    for (const Record& record : records) {
      if (!push(*lane, record.sequence, record.bytes)) return;
    }
  }
  flush(*lane);
}

void Inbox::resolve(std::uint32_t number, const parse::PushSource& source, parse::PushIds& out) {
  const std::string key =
      source.name + '\0' + source.format + '\0' + source.tenant + '\0' + source.stream;
  auto known = ids_.find(key);
  if (known == ids_.end()) {
    parse::PushIds ids;
    ids.source = engine_.intern(store::Dictionary::source, source.name);
    if (!source.tenant.empty()) {
      ids.tenant = narrow(engine_.intern(store::Dictionary::tenant, source.tenant));
    }
    if (!source.stream.empty()) {
      ids.stream = narrow(engine_.intern(store::Dictionary::stream, source.stream));
    }
    ids.format = static_cast<std::uint8_t>(parse::find_push_format(source.format));
    if (ids_.size() >= 2 * kSourcesMax) ids_.clear();  // of an earlier configuration
    known = ids_.emplace(key, ids).first;
  }
  out = known->second;
  out.number = number;
}

/// False: nothing is applied any more.
bool Inbox::push(LaneInfo& lane, std::uint64_t sequence, std::string_view record) {
  std::string_view events = record;
  auto head = parse::read_push_head(events);
  std::vector<parse::PushIds> ids;
  std::int64_t until_us = 0;
  if (head) {
    for (const auto& [number, source] : head->sources) {
      resolve(number, source, ids.emplace_back());
      until_us = std::max(until_us, head->accepted_us + source.horizon_us);
    }
  } else {
    damaged_.fetch_add(1, std::memory_order_relaxed);
    spdlog::error("inbox record {}: {}", sequence, head.error().message());
    flush(lane);  // no block spans it: it stays in the store, for whoever can read it
    return true;
  }
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (block_ == nullptr) {
      block_ = pool_->take();
      if (block_ == nullptr) return false;
    }
    const parse::PushRecord at{sequence, head->accepted_us, day_of(until_us) + 1};
    if (parse::append_push_block(*block_, at, ids, events)) return true;
    flush(lane);
  }
  damaged_.fetch_add(1, std::memory_order_relaxed);
  spdlog::error("inbox record {}: larger than any that is written", sequence);
  return true;
}

bool Inbox::flush(LaneInfo& lane) {
  if (block_ == nullptr || block_->size == 0) return false;
  block_->lane = lane.id;
  block_->sequence = lane_sequence_++;
  block_->format = lane.format;
  lane.in_flight.fetch_add(1, std::memory_order_relaxed);
  engine_.ingest_blocks.fetch_add(1, std::memory_order_relaxed);
  engine_.blocks.push(std::move(block_));
  return true;
}

void Inbox::wait_applied(std::int64_t timeout_us) const {
  const std::uint64_t end = written_.load(std::memory_order_acquire);
  const std::int64_t until_us = monotonic_us() + timeout_us;
  while (applied_.load(std::memory_order_acquire) < end && monotonic_us() < until_us) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// --- the end ------------------------------------------------------------------------------------

void Inbox::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    stopped_ = stopping_ = true;
    work_.notify_one();
  }
  if (writer_.joinable()) {
    writer_.join();
  } else {
    const std::lock_guard lock(feed_mutex_);
    fed_all_ = true;
    feed_work_.notify_one();
  }
  if (feeder_.joinable()) feeder_.join();
  block_.reset();
}

void Inbox::abort() {
  const std::lock_guard lock(mutex_);
  if (pool_ != nullptr) pool_->close();
}

PushMetrics Inbox::metrics() const {
  PushMetrics m;
  const auto read = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
  m.requests = read(requests_);
  m.events = read(events_);
  m.clamped = read(clamped_);
  m.overloaded = read(overloaded_);
  m.failed = read(failed_);
  m.damaged = read(damaged_);
  m.groups = read(groups_);
  m.group_us = read(group_us_);
  m.backlog_bytes = read(backlog_);
  return m;
}

}  // namespace bounced::pipeline
