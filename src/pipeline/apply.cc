#include "pipeline/apply.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/hash.h"
#include "base/prefetch.h"

namespace bounced::pipeline {
namespace {

constexpr std::int64_t kPublishIntervalUs = 50'000, kTickIntervalUs = 100'000;

/// Records of the inbox that are applied go before the store writes them to a file of its own: one
/// that is erased in memory is never written.
constexpr std::size_t kRecordsBytesMax = std::size_t{6} << 20;

/// Time of the next record, of a batch that lacks `add_us` to be UTC.
std::int64_t record_time(const Batch& batch, const correlate::Cursor& cursor, std::int64_t add_us) {
  const bool more_notes = cursor.note < batch.notes.size();
  if (cursor.event < batch.events.size() &&
      !(more_notes && batch.notes[cursor.note].before_event <= cursor.event)) {
    const std::int64_t has_us = batch.prepared.done ? batch.prepared.add_us : 0;
    return batch.events[cursor.event].time_us + add_us - has_us;
  }
  return more_notes ? batch.notes[cursor.note].time_us + add_us : INT64_MIN;
}

bool at_end(const Batch& batch, const correlate::Cursor& cursor) {
  return cursor.event >= batch.events.size() && cursor.note >= batch.notes.size();
}

std::uint64_t next_offset(const Batch& batch, const correlate::Cursor& cursor) {
  std::uint64_t offset = batch.block->offset + batch.block->size;
  if (cursor.event < batch.events.size()) {
    offset = std::min(offset, batch.events[cursor.event].offset);
  }
  if (cursor.note < batch.notes.size()) {
    offset = std::min(offset, batch.notes[cursor.note].offset);
  }
  return offset;
}

}  // namespace

void Engine::Impl::apply() {
  name_thread("apply");
  Apply stage(*this);
  stage.run();
}

void Apply::run() {
  last_cut_us_ = monotonic_us();
  while (true) {
    // Sleep only when nothing can be applied; wake for messages, cuts and ticks.
    std::optional<Message> message;
    const bool due = !dead_ && !must_wait() && stage_.idle() && stage_.more_due();
    if (engine_.inbox.pop_for(message, due ? 0 : 50'000) && message.has_value()) {
      handle(*message);
      Message more;
      for (int i = 0; i < 64 && engine_.inbox.try_pop(more); ++i) handle(more);
    }
    sync_lanes();
    while (!dead_ && !must_wait() && step()) {
      // Messages are taken between runs, so that a cut's end or a command never waits long.
      Message more;
      while (engine_.inbox.try_pop(more)) handle(more);
      sync_lanes();
      if (cut_due()) start_cut();
      publish();
    }
    check_replays();
    tick();
    if (cut_due()) start_cut();
    publish();
    // Threads overtake each other in a queue: stop is the last message when nothing is left.
    if (stop_ && !cut_running_ && engine_.inbox.depth() == 0) {
      stage_.wait_idle();  // a tick may have been among its work
      if (!dead_ && engine_.store != nullptr &&
          (changed_ || stage_.dirty_records() > 0 || engine_.anything_remembered ||
           !waiting_.empty() || !ending_.empty())) {
        start_cut();
        continue;
      }
      break;
    }
  }
  stage_.wait_idle();
  // What will not be applied goes back to its pool first: a pool dies with its replay.
  Message late;
  while (engine_.inbox.try_pop(late)) {
    if (late.change == nullptr) continue;
    late.change->answer.set_value(fail(ErrorCode::cancelled, "change", "engine", "stopping"));
  }
  late = Message{};
  for (auto& lane : lanes_) {
    lane->head.reset();
    lane->pending.clear();
  }
  for (auto& replay : replays_) replay->finish(engine_.fatal_error);
  for (auto* list : {&ending_, &ending_cut_}) {
    for (auto& replay : *list) replay->finish(engine_.fatal_error);
  }
  for (auto* list : {&waiting_, &waiting_cut_}) {
    for (auto& request : *list) {
      request->answer.set_value(
          fail(ErrorCode::cancelled, "change", "engine", "stopped before it was durable"));
    }
  }
  publish_all();
}

void Apply::handle(Message& message) {
  switch (message.kind) {
    case Message::Kind::batch: {
      sync_lanes();
      Block& block = *message.batch->block;
      Lane& lane = *lanes_[block.lane];
      lane.pending.emplace(block.sequence, std::move(message.batch));
      break;
    }
    case Message::Kind::change:
      take_change(message.change);
      break;
    case Message::Kind::committed:
      spare_cut_ = std::move(message.cut);
      finish_cut(message.committed);
      break;
    case Message::Kind::stop:
      stop_ = true;
      break;
    case Message::Kind::wake:
      break;
  }
  message = Message{};
}

void Apply::take_change(const std::shared_ptr<ChangeRequest>& request) {
  if (dead_) {
    request->answer.set_value(
        fail(ErrorCode::io, "change", "engine", "the store cannot be written"));
    return;
  }
  stage_.wait_idle();
  Result<void> result = request->run(engine_.states.get(), engine_.names);
  stage_.measure();
  if (!result || !request->durable || engine_.store == nullptr) {
    request->answer.set_value(std::move(result));
    return;
  }
  waiting_.push_back(request);
}

void Apply::sync_lanes() {
  // Replays first: their lanes were published before them, so all of those are seen below.
  {
    const std::lock_guard lock(engine_.mutex);
    for (auto& replay : engine_.replays) replays_.push_back(replay);
    engine_.replays.clear();
  }
  for (std::size_t known = lanes_.size(); known < engine_.registry.lanes(); ++known) {
    auto lane = std::make_unique<Lane>();
    lane->info = engine_.registry.lane(static_cast<std::uint32_t>(known));
    lanes_.push_back(std::move(lane));
  }
}

void Apply::begin_file(Lane& lane, const Block& block) {
  const FileInfo info = engine_.registry.file(block.file);
  if (lane.position_dirty) finished_files_.push_back(lane.position);
  lane.position = ingest::Position{};
  lane.position.file = block.file;
  lane.position.source = info.source;
  lane.position.path = info.path;
  TimeResolver::State time = info.time;
  auto resolver = TimeResolver::make(lane.info->timezone, time, lane.info->year);
  if (resolver) lane.resolver = std::move(*resolver);
  engine_.registry.forget_file(block.file);
}

void Apply::resolve_times(Lane& lane) {
  // The first pass over records that another core wrote: whole ones are sent for, because correlate
  // wants the rest of them next.
  constexpr std::size_t kAhead = 12;
  Batch& batch = *lane.head;
  correlate::take_back(batch);
  std::size_t note = 0;
  for (std::size_t i = 0; i < batch.events.size(); ++i) {
    if (i + kAhead < batch.events.size()) {
      prefetch_lines(&batch.events[i + kAhead], sizeof(Event));
    }
    for (; note < batch.notes.size() && batch.notes[note].before_event <= i; ++note) {
      Note& n = batch.notes[note];
      n.time_us = lane.resolver.resolve(n.time_us, n.time_form);
      n.time_form = TimeForm::utc;
    }
    Event& e = batch.events[i];
    e.time_us = lane.resolver.resolve(e.time_us, e.time_form);
    e.time_form = TimeForm::utc;
  }
  for (; note < batch.notes.size(); ++note) {
    Note& n = batch.notes[note];
    n.time_us = lane.resolver.resolve(n.time_us, n.time_form);
    n.time_form = TimeForm::utc;
  }
}

/// Leaves it to correlate to add the same to all times, where that is all that they lack and parse
/// has joined the batch. (Where it has not, messages stay for long: two passes that send ahead for
/// their entries are faster than one.)
void Apply::see_times(Lane& lane) {
  const RecordTimes& times = lane.head->times;
  const std::optional<TimeForm> form = times.form();
  if (!lane.head->joined || !form.has_value()) return resolve_times(lane);
  lane.add_us = lane.resolver.added(times.oldest_us, times.newest_us, *form);
  if (!lane.add_us.has_value()) return resolve_times(lane);
  lane.resolver.resolve(times.newest_us, *form);
}

void Apply::update_head_time(Lane& lane) {
  const std::int64_t time_us = record_time(*lane.head, lane.cursor, lane.add_us.value_or(0));
  lane.head_us = std::max(lane.head_us, time_us);
}

void Apply::load_head(Lane& lane) {
  if (lane.head != nullptr) return;
  const auto it = lane.pending.find(lane.next_sequence);
  if (it == lane.pending.end()) return;
  lane.head = std::move(it->second);
  lane.pending.erase(it);
  ++lane.next_sequence;
  lane.cursor = {};
  Block& block = *lane.head->block;
  if (block.starts_file || lane.position.file != block.file) begin_file(lane, block);
  see_times(lane);
  update_head_time(lane);
}

bool Apply::group_ready(Replay::Impl& replay, std::int64_t& barrier_us) {
  // The earliest record that a lane not yet read may hold: nothing later may be applied before.
  barrier_us = INT64_MAX;
  bool ready = true;
  std::int64_t lowest = INT64_MAX;
  for (const auto& info : replay.lanes) {
    Lane& lane = *lanes_[info->id];
    if (!info->active.load(std::memory_order_acquire)) {
      barrier_us = std::min(barrier_us, info->first_us);
      continue;
    }
    load_head(lane);
    if (lane.head != nullptr) {
      lowest = std::min(lowest, lane.head_us);
    } else if (!lane.ended()) {
      ready = false;
    }
  }
  if (ready && barrier_us != INT64_MAX && barrier_us <= lowest) {
    ready = false;  // that lane's turn has come: let the feeder begin it
    const std::lock_guard lock(replay.group->mutex);
    replay.group->activate_until = std::max(replay.group->activate_until, barrier_us);
    replay.group->changed.notify_all();
  }
  return ready;
}

Lane* Apply::choose(std::int64_t& until_us) {
  Lane* best = nullptr;
  Lane* push = nullptr;
  until_us = INT64_MAX;
  const auto consider = [&](Lane& lane) {
    if (lane.head == nullptr) return;
    if (best == nullptr || lane.precedes(*best)) {
      if (best != nullptr) until_us = std::min(until_us, best->head_us);
      best = &lane;
    } else {
      until_us = std::min(until_us, lane.head_us);
    }
  };
  for (const auto& replay : replays_) {
    std::int64_t barrier = INT64_MAX;
    if (!group_ready(*replay, barrier)) continue;
    for (const auto& info : replay->lanes) consider(*lanes_[info->id]);
    if (barrier != INT64_MAX) until_us = std::min(until_us, barrier - 1);
  }
  for (const auto& lane : lanes_) {
    if (lane->info->group != nullptr) continue;
    load_head(*lane);
    if (!lane->info->push) {
      consider(*lane);
    } else if (push == nullptr && lane->head != nullptr) {
      push = lane.get();
    }
  }
  // In turn with the logs, whatever times they tell: nobody waits until a log has caught up.
  pushed_last_ = push != nullptr && (best == nullptr || !pushed_last_);
  if (pushed_last_) {
    until_us = INT64_MAX;
    return push;
  }
  if (best != nullptr) until_us = std::max(until_us, best->head_us);
  return best;
}

/// Takes the records of the lane's batch up to that time.
void Apply::correlate(Lane& lane, std::int64_t until_us) {
  Batch& batch = *lane.head;
  if (lane.add_us.has_value()) {
    const std::int64_t add_us = *std::exchange(lane.add_us, {});
    if (batch.times.newest_us + add_us <= until_us &&
        engine_.correlator->apply_joined(batch, add_us, batch.run)) {
      lane.cursor = {static_cast<std::uint32_t>(batch.events.size()),
                     static_cast<std::uint32_t>(batch.notes.size())};
      lane.info->add_us.store(add_us, std::memory_order_relaxed);
      return;
    }
    // Not so soon again, where files are merged.
    lane.info->add_us.store(LaneInfo::kNotKnown, std::memory_order_relaxed);
    resolve_times(lane);
  }
  engine_.correlator->apply(batch, lane.cursor, until_us, batch.run);
}

/// Mails, and what MTAs log of mails, are matched where something could change; logs are remembered
/// where that is asked for.
bool Apply::wants_matching(const Lane& lane, const Block& block) const {
  if (engine_.states == nullptr) return false;
  static const std::array<int, 3> with_reports = {
      parse::find_format("mail"), parse::find_format("kumomta"), parse::find_format("powermta")};
  return engine_.sent->remembers() || lane.info->push ||
         std::find(with_reports.begin(), with_reports.end(), block.format) != with_reports.end();
}

void Apply::trust_reports(const Lane& lane, Batch& batch) const {
  static const int mail = parse::find_format("mail");
  if (!engine_.options.trust_logged_reports || lane.info->push || batch.block->format == mail) {
    return;
  }
  for (Event* event : batch.run) {
    event->flags &= static_cast<std::uint8_t>(~EventFlags::kUnproven);
  }
}

bool Apply::step() {
  std::int64_t until_us = INT64_MAX;
  Lane* lane = choose(until_us);
  if (lane == nullptr) return false;
  Batch& batch = *lane->head;
  batch.run.clear();
  batch.revisions.clear();
  const correlate::Cursor before = lane->cursor;
  if (lane->info->push) {
    const parse::PushRange range = parse::push_range(*batch.block);
    metrics_.push.duplicates += engine_.seen.take(batch, range.until_day);
  }
  correlate(*lane, until_us);
  metrics_.correlate.received +=
      lane->cursor.event - before.event + lane->cursor.note - before.note;
  metrics_.correlate.sent += batch.run.size();
  metrics_.correlate.dropped += lane->cursor.note - before.note;
  if (const auto& status = engine_.correlator->status(); !status) {
    dead_ = true;
    engine_.die(status.error());
    return false;
  }
  if (wants_matching(*lane, *batch.block)) {
    trust_reports(*lane, batch);
    if (auto matched = engine_.sent->apply(batch, batch.run, lane->info->push); !matched) {
      dead_ = true;
      engine_.die(matched.error());
      return false;
    }
  }
  if (!batch.run.empty()) watermark_us_ = std::max(watermark_us_, batch.run.back()->time_us);
  changed_ = true;
  lane->position_dirty = true;
  const bool ends = at_end(batch, lane->cursor);
  // A part of a batch is applied here: correlate will add to the batch's arena again.
  const bool whole = ends && before.event == 0 && before.note == 0;
  if (!whole) stage_.apply_now(batch);
  if (ends) {
    finish_batch(*lane, !whole);
  } else {
    update_head_time(*lane);
  }
  if (stage_.failed()) dead_ = true;
  return !dead_;
}

void Apply::note_position(Lane& lane, std::uint64_t offset) {
  const Block& block = *lane.head->block;
  ingest::Position& p = lane.position;
  p.head_size = block.head_size;
  p.head_hash = block.head_hash;
  p.device = block.device;
  p.inode = block.inode;
  p.offset = offset;
  p.updated_us = lane.resolver.state().last_us;
  p.time = lane.resolver.state();
  const std::uint64_t inside = offset - block.offset;
  const std::uint64_t have = std::min<std::uint64_t>(inside + block.headroom, offset);
  p.tail_size = static_cast<std::uint32_t>(std::min<std::uint64_t>(limits::kTailHashBytes, have));
  p.tail_hash = hash64({block.data + inside - p.tail_size, p.tail_size});
}

void Apply::finish_batch(Lane& lane, bool applied) {
  Batch& batch = *lane.head;
  const Block& block = *batch.block;
  if (lane.info->push) {
    finish_records(block);
  } else {
    note_position(lane, block.offset + block.size);
    lane.position.finished = block.ends_file;
  }
  batch.counts.oversize += block.oversize_lines;
  metrics_.lines.add(batch.counts);
  metrics_.parse.received += batch.counts.lines;
  if (batch.counts.lines > batch.counts.unparsed + batch.counts.foreign) {
    lane.info->silent_bytes.store(0, std::memory_order_relaxed);
  } else {
    lane.info->silent_bytes.fetch_add(block.size, std::memory_order_relaxed);
  }
  metrics_.parse.sent += batch.events.size() + batch.notes.size();
  metrics_.parse.errors += batch.counts.unparsed;
  metrics_.parse.dropped += batch.counts.ignored + batch.counts.foreign;
  if (batch.sample_unparsed >= 0 && metrics_.lines.unparsed == batch.counts.unparsed) {
    spdlog::warn("parse: {}: first unparsed line at offset {}", lane.position.path,
                 batch.sample_unparsed);
  }
  if (batch.counts.loss_alarms != 0) warn_of_loss(lane);
  if (lane.info->live && !lane.info->push) {
    engine_.live_bytes_applied.fetch_add(block.size, std::memory_order_release);
  }
  if (!applied) return stage_.push(std::move(lane.head), lane.info);
  engine_.put_batch(std::move(lane.head), *lane.info);
}

void Apply::warn_of_loss(const Lane& lane) {
  constexpr std::int64_t kQuietUs = 60 * kSecondUs;
  const std::int64_t now_us = system_clock().now_us();
  const bool told = metrics_.loss_seen_us != 0 && now_us - metrics_.loss_seen_us < kQuietUs;
  metrics_.loss_seen_us = now_us;
  if (!told) spdlog::warn("{}: {}", lane.position.path, loss_trouble(metrics_, now_us));
}

void Apply::finish_records(const Block& block) {
  const parse::PushRange range = parse::push_range(block);
  records_.emplace_back(range.begin, range.end);
  records_bytes_ += block.size;
  records_next_ = std::max(records_next_, range.end);
  engine_.push->applied(records_next_);
  engine_.seen.advance(static_cast<std::uint32_t>(range.accepted_us / kDayUs));
}

Result<void> Apply::add_records(store::WriteSet& set) {
  if (records_.empty()) return {};
  std::string key;
  for (const auto& [from, end] : records_) {
    for (std::uint64_t sequence = from; sequence < end; ++sequence) {
      key.clear();
      store::append_u64_be(key, sequence);
      set.erase(store::Family::inbox, key);
    }
  }
  records_.clear();
  records_bytes_ = 0;
  key.clear();
  store::append_u64_be(key, records_next_);
  set.put(store::Family::meta, kInboxNextKey, key);
  return engine_.seen.append_to(set, *engine_.store);
}

/// Nothing is applied any more: who waits for a replay or a change is told, though its end never
/// comes.
void Apply::fail_waiting() {
  std::optional<Error> error;
  {
    const std::lock_guard lock(engine_.mutex);
    error = engine_.fatal_error;
  }
  if (!error) return;
  for (auto& request : waiting_) request->answer.set_value(tl::unexpected(*error));
  waiting_.clear();
  // They stay in their lists: their pools hold the blocks of lanes.
  for (auto* list : {&replays_, &ending_}) {
    for (auto& replay : *list) {
      if (!replay->is_done()) replay->finish(error);
    }
  }
}

void Apply::check_replays() {
  if (dead_) return fail_waiting();
  for (auto it = replays_.begin(); it != replays_.end();) {
    Replay::Impl& replay = **it;
    bool done = replay.fed.load(std::memory_order_acquire);
    for (const auto& info : replay.lanes) {
      const Lane& lane = *lanes_[info->id];
      done = done && lane.ended() && lane.pending.empty();
    }
    if (!done) {
      ++it;
      continue;
    }
    for (const auto& info : replay.lanes) {
      Lane& lane = *lanes_[info->id];
      if (lane.position_dirty) finished_files_.push_back(lane.position);
      lane.position_dirty = false;
    }
    // What it reports must not depend on when the last tick was, nor on what the scan has seen.
    if (engine_.states != nullptr) settle();
    if (engine_.store == nullptr) {
      publish_all();
      replay.finish({});
    } else {
      ending_.push_back(*it);
    }
    it = replays_.erase(it);
  }
}

/// What waits for a cut, about.
std::size_t Apply::dirty_bytes() const {
  // Two records in hash tables for each message that is remembered, one with names.
  constexpr std::size_t kSentBytes = 300;
  const std::uint64_t sent = engine_.sent->stats().remembered - remembered_cut_;
  return stage_.dirty_bytes() + static_cast<std::size_t>(sent) * kSentBytes;
}

bool Apply::cut_due() const {
  if (engine_.store == nullptr || cut_running_ || dead_) return false;
  if (!waiting_.empty() || !ending_.empty()) return true;
  if (dirty_bytes() >= engine_.options.dirty_bytes_max) return true;
  if (records_bytes_ >= kRecordsBytesMax) return true;
  if (monotonic_us() - last_cut_us_ < engine_.options.cut_interval_us) return false;
  return changed_ || stage_.dirty_records() > 0 ||
         engine_.anything_remembered.load(std::memory_order_acquire);
}

bool Apply::must_wait() const {
  return cut_running_ && dirty_bytes() >= engine_.options.dirty_bytes_max;
}

void Apply::add_positions(store::WriteSet& set) {
  const auto add = [&](const ingest::Position& position) {
    if (position.file == 0) return;  // stdin has none
    std::string key;
    store::append_u64_be(key, position.file);
    set.put(store::Family::positions, key, ingest::encode(position));
    positions_cut_.push_back(position);
  };
  for (const ingest::Position& position : finished_files_) add(position);
  finished_files_.clear();
  if (engine_.anything_remembered.exchange(false)) {
    const std::lock_guard lock(engine_.mutex);
    for (const auto& [file, position] : engine_.remembered) add(position);
    engine_.remembered.clear();
  }
  for (const auto& lane : lanes_) {
    if (!lane->position_dirty || lane->info->push) continue;
    if (lane->head != nullptr) note_position(*lane, next_offset(*lane->head, lane->cursor));
    add(lane->position);
    lane->position_dirty = false;
  }
}

void Apply::start_cut() {
  if (stage_.failed()) {
    dead_ = true;
    return;
  }
  auto cut = spare_cut_ != nullptr ? std::move(spare_cut_) : std::make_unique<Cut>();
  engine_.correlator->append_to(cut->set);
  if (auto aged = engine_.sent->append_to(cut->set); !aged) {
    dead_ = true;
    return engine_.die(aged.error());
  }
  remembered_cut_ = engine_.sent->stats().remembered;
  positions_cut_.clear();
  add_positions(cut->set);
  if (auto added = add_records(cut->set); !added) {
    dead_ = true;
    return engine_.die(added.error());
  }
  waiting_cut_.swap(waiting_);
  ending_cut_.swap(ending_);
  changed_ = false;
  last_cut_us_ = monotonic_us();
  cut_running_ = true;
  ++metrics_.commit.received;
  stage_.push(std::move(cut));
}

void Apply::finish_cut(const Result<void>& result) {
  cut_running_ = false;
  if (!result) {
    ++metrics_.commit.errors;
    dead_ = true;
    engine_.die(result.error());
    for (auto& request : waiting_cut_) request->answer.set_value(result);
    for (auto& replay : ending_cut_) replay->finish(result.error());
    waiting_cut_.clear();
    ending_cut_.clear();
    return;
  }
  ++metrics_.commit.sent;
  stage_.push_committed();
  engine_.sent->committed();
  for (const ingest::Position& position : positions_cut_) engine_.book.update(position);
  for (auto& request : waiting_cut_) request->answer.set_value({});
  waiting_cut_.clear();
  if (!ending_cut_.empty()) publish_all();
  for (auto& replay : ending_cut_) replay->finish({});
  ending_cut_.clear();
}

void Apply::tick() {
  if (engine_.states == nullptr || dead_ || must_wait()) return;
  const std::int64_t begun = monotonic_us();
  if (!stage_.idle() && begun - last_tick_us_ < kTickIntervalUs) return;
  last_tick_us_ = begun;
  tick_now();
}

void Apply::settle() {
  stage_.wait_idle();
  if (auto complete = engine_.states->wait_complete(); !complete) {
    dead_ = true;
    engine_.die(complete.error());
    return;
  }
  do {
    tick_now();
  } while (!stage_.failed() && stage_.more_due());
}

/// What is due by now happens: by the clock in a daemon that has caught up, else by the log's time.
void Apply::tick_now() {
  bool live = false;
  bool behind = !stage_.idle();
  for (const auto& lane : lanes_) {
    live = live || lane->info->live;
    behind = behind || lane->head != nullptr || !lane->pending.empty();
  }
  const std::int64_t now = system_clock().now_us();
  const std::int64_t at = live && !behind ? now : std::min(watermark_us_, now);
  if (at > 0) stage_.tick(at);
  if (stage_.failed()) dead_ = true;
}

void Apply::publish_all() {
  stage_.wait_idle();
  last_publish_us_ = 0;
  publish();
}

void Apply::publish() {
  const std::int64_t now = monotonic_us();
  if (now - last_publish_us_ < kPublishIntervalUs) return;
  last_publish_us_ = now;
  stage_.add_to(metrics_);
  metrics_.correlator = engine_.correlator->stats();
  metrics_.push.keys = engine_.seen.size();
  metrics_.sent = engine_.sent->stats();
  metrics_.push.keys_forgotten = engine_.seen.forgotten();
  metrics_.watermark_us = watermark_us_;
  const std::lock_guard lock(engine_.metrics_mutex);
  engine_.published = metrics_;
}

}  // namespace bounced::pipeline
