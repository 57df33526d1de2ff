// Feeders: threads that turn files into blocks, in the order that apply will need them.
#include <algorithm>
#include <numeric>

#include "pipeline/engine_impl.h"

namespace bounced::pipeline {

std::int64_t first_time(const parse::Context& context, std::string_view head, int format,
                        const std::string& timezone, TimeResolver::State state, int year) {
  BlockPool pool(1, limits::kLineBytesMax);
  Batch batch;
  batch.block = pool.take();
  const std::size_t size = std::min<std::size_t>(head.size(), batch.block->capacity);
  std::memcpy(batch.block->data, head.data(), size);
  batch.block->size = static_cast<std::uint32_t>(size);
  batch.block->format = format;
  parse::parse(context, batch);
  std::int64_t time = 0;
  TimeForm form = TimeForm::utc;
  if (!batch.events.empty() && (batch.notes.empty() || batch.notes.front().before_event > 0)) {
    time = batch.events.front().time_us;
    form = batch.events.front().time_form;
  } else if (!batch.notes.empty()) {
    time = batch.notes.front().time_us;
    form = batch.notes.front().time_form;
  } else {
    batch.block.reset();
    return INT64_MIN;
  }
  batch.block.reset();
  auto resolver = TimeResolver::make(timezone, state, year);
  return resolver ? resolver->resolve(time, form) : INT64_MIN;
}

void Engine::Impl::feed_tail(std::size_t index, const TailConfig& config, std::uint32_t source) {
  name_thread("tail " + config.tail.name);
  ingest::Tail* tail = nullptr;
  {
    const std::lock_guard lock(mutex);
    tail = tails[index].get();
  }
  std::vector<std::shared_ptr<LaneInfo>> lanes;
  std::vector<std::uint64_t> sequences;
  BlockPtr block(nullptr, BlockReturn{&live_pool});
  bool warned = false;
  while (!stopping.load(std::memory_order_acquire)) {
    if (block == nullptr) block = live_pool.take();
    if (block == nullptr) break;
    auto status = tail->next(*block, 200'000);
    if (!status) {
      ingest_errors.fetch_add(1, std::memory_order_relaxed);
      if (!warned) spdlog::warn("{}", status.error().message());
      warned = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      continue;
    }
    if (*status != ingest::ReadStatus::data) continue;
    warned = false;
    while (lanes.size() <= block->lane) {
      auto lane = std::make_shared<LaneInfo>();
      lane->live = true;
      lane->timezone = config.timezone;
      for (const auto& file : tail->files()) {
        if (file.lane == lanes.size()) lane->path = file.path;
      }
      registry.add(lane);
      lanes.push_back(std::move(lane));
      sequences.push_back(0);
    }
    LaneInfo& lane = *lanes[block->lane];
    if (block->starts_file) {
      FileInfo info;
      info.source = config.tail.name;
      info.time = tail->time_state(block->file);
      info.live = true;
      for (const auto& file : tail->files()) {
        if (file.file == block->file) info.path = file.path;
      }
      registry.set_file(block->file, std::move(info));
    }
    if (block->starts_file) lane.format = config.tail.format;
    if (lane.format < 0) lane.format = parse::probe_format(*block);
    block->format = lane.format;
    block->source = source;
    block->sequence = sequences[block->lane]++;
    block->lane = lane.id;
    lane.in_flight.fetch_add(1, std::memory_order_relaxed);
    ingest_blocks.fetch_add(1, std::memory_order_relaxed);
    blocks.push(std::move(block));
    block = BlockPtr(nullptr, BlockReturn{&live_pool});
  }
}

/// One file of a replay on its way.
struct ReplayFile {
  std::unique_ptr<ingest::FileReader> reader;
  std::shared_ptr<LaneInfo> lane;
  std::uint64_t sequence = 0;
  std::uint64_t counted = 0;  ///< bytes on disk already added to the progress
  bool ended = false;
};

namespace {

// The active file with the fewest blocks on their way, if it may have one more. Apply waits for the
// first block of every file whose turn has come, while it holds those of the others: one stays free
// for each file that has none.
ReplayFile* next_file(std::vector<ReplayFile>& files, std::uint32_t window, std::size_t free) {
  ReplayFile* best = nullptr;
  std::uint32_t fewest = window;
  std::size_t without = 0;
  for (ReplayFile& file : files) {
    if (file.ended) continue;
    const std::uint32_t n = file.lane->in_flight.load(std::memory_order_acquire);
    if (n == 0) ++without;
    if (n < fewest && file.lane->active.load(std::memory_order_acquire)) {
      fewest = n;
      best = &file;
    }
  }
  return fewest == 0 || free > without ? best : nullptr;
}

}  // namespace

void Engine::Impl::feed_replay(const std::shared_ptr<Replay::Impl>& replay,
                               std::vector<std::unique_ptr<ingest::FileReader>> readers) {
  name_thread("replay");
  std::vector<ReplayFile> files(readers.size());
  for (std::size_t i = 0; i < readers.size(); ++i) {
    files[i].reader = std::move(readers[i]);
    files[i].lane = replay->lanes[i];
  }
  // Where there is one worker at most, every core has enough to do: this thread parses what it has
  // read, which lies in its core's cache (about 3 % less CPU than to hand it over). Decompressing
  // is work enough for a thread.
  const bool parses = workers.size() == 1;
  std::optional<Worker> worker;
  Group& group = *replay->group;
  const auto wake = [&] { inbox.push(Message{}); };
  const auto end_file = [&](ReplayFile& file) {
    file.ended = true;
    replay->files_done.fetch_add(1, std::memory_order_relaxed);
    file.lane->blocks_total.store(file.sequence, std::memory_order_release);
    file.reader.reset();
    wake();
  };
  const auto all_ended = [&] {
    return std::all_of(files.begin(), files.end(), [](const ReplayFile& f) { return f.ended; });
  };
  while (!stopping.load(std::memory_order_acquire) && !all_ended()) {
    ReplayFile* file = nullptr;
    {
      std::unique_lock lock(group.mutex);
      std::uint32_t active = 0;
      for (ReplayFile& f : files) {
        if (!f.lane->active && f.lane->first_us <= group.activate_until) f.lane->active = true;
        if (!f.ended && f.lane->active) ++active;
      }
      const auto window = std::max<std::uint32_t>(
          1, static_cast<std::uint32_t>(replay->pool->size()) / std::max<std::uint32_t>(1, active));
      file = next_file(files, window, replay->pool->free_approx());
      if (file == nullptr) {
        group.changed.wait_for(lock, std::chrono::milliseconds(100));
        continue;
      }
    }
    BlockPtr block = replay->pool->take();
    if (block == nullptr) break;
    auto status = file->reader->next(*block);
    if (!status && status.error().code == ErrorCode::cancelled) break;
    if (!status) {
      ingest_errors.fetch_add(1, std::memory_order_relaxed);
      replay->add_error(status.error());
      end_file(*file);
      continue;
    }
    if (*status != ingest::ReadStatus::data) {
      end_file(*file);
      continue;
    }
    const std::uint64_t now_at = file->reader->compressed_offset();
    replay->bytes_read.fetch_add(now_at - std::min(now_at, file->counted),
                                 std::memory_order_relaxed);
    file->counted = std::max(now_at, file->counted);
    const bool last = block->ends_file;
    block->lane = file->lane->id;
    block->format = file->lane->format;
    block->sequence = file->sequence++;
    file->lane->in_flight.fetch_add(1, std::memory_order_acq_rel);
    ingest_blocks.fetch_add(1, std::memory_order_relaxed);
    if (parses && file->reader->plain()) {
      if (!worker) worker.emplace(*this);
      worker->take(std::move(block));
    } else {
      blocks.push(std::move(block));
    }
    if (last) end_file(*file);
  }
  // Stopped early: lanes stay open, so that apply takes nothing out of order; their positions tell
  // where to go on.
  replay->fed.store(true, std::memory_order_release);
  wake();
}

}  // namespace bounced::pipeline
