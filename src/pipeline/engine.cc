#include "pipeline/engine.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"

#include "base/text.h"
#include "base/time.h"
#include "parse/relay.h"
#include "pipeline/engine_impl.h"

namespace bounced::pipeline {

Engine::Engine() = default;
Engine::~Engine() {
  if (impl_ != nullptr) (void)stop();
}

Result<std::unique_ptr<Engine>> Engine::open(Options options) {
  std::unique_ptr<Engine> engine(new Engine());
  engine->impl_ = std::make_unique<Impl>(std::move(options));
  auto started = engine->impl_->start();
  if (!started) {
    engine->impl_.reset();
    return tl::unexpected(started.error());
  }
  return engine;
}

Result<void> Engine::Impl::open_store() {
  store::OpenOptions open_options;
  open_options.fold_local_part = options.fold_local_part;
  open_options.files = options.files;
  open_options.compact_later = true;  // until the states are read
  auto opened = store::Store::open(options.data_dir, open_options);
  if (!opened) return tl::unexpected(opened.error());
  store = std::move(*opened);
  return names.load(*store);
}

namespace {

/// Positions of files that are long gone, out of the store and the list.
Result<void> drop_old(store::Store& store, std::vector<ingest::Position>& positions) {
  std::int64_t newest_us = 0;
  for (const auto& position : positions) newest_us = std::max(newest_us, position.updated_us);
  const auto is_old = [&](const ingest::Position& position) {
    // 0: finished by a run that had nothing more to read in it.
    return position.finished && position.updated_us > 0 &&
           newest_us - position.updated_us > limits::kPositionAgeMaxUs;
  };
  store::WriteSet set;
  for (const auto& position : positions) {
    std::string key;
    store::append_u64_be(key, position.file);
    if (is_old(position)) set.erase(store::Family::positions, key);
  }
  if (set.empty()) return {};
  positions.erase(std::remove_if(positions.begin(), positions.end(), is_old), positions.end());
  return store.commit(set, true);
}

}  // namespace

Result<void> Engine::Impl::start() {
  // A store that is there says how causes are numbered; none is made for rules that do not load.
  std::error_code ignored;
  const bool there =
      !options.data_dir.empty() && std::filesystem::exists(options.data_dir, ignored);
  if (there) {
    if (auto opened = open_store(); !opened) return opened;
  }
  if (auto opened = open_rules(); !opened) return opened;
  if (!there && !options.data_dir.empty()) {
    if (auto opened = open_store(); !opened) return opened;
  }
  begin_rules();
  hasher = AddressHasher(store != nullptr ? store->secret() : public_secret(),
                         AddressOptions{options.fold_local_part});
  context.hasher = &hasher;
  context.campaign_header = options.campaign_header;
  context.smarthosts = options.smarthosts;
  context.relays = options.relays;
  context.verp = options.verp;

  correlate::Options correlate_options;
  correlate_options.streams = options.streams;
  correlate_options.expired = verdict_of(*rules, Cause::network_expired, Severity::temporary, 90);
  correlator = std::make_unique<correlate::Correlator>(std::move(correlate_options), names);
  sent = std::make_unique<correlate::Sent>(
      options.sent_days, options.sent_recipients,
      [this](std::string_view host, std::uint16_t port) {
        if (host.substr(0, 4) == "127." || iequals(host, "localhost")) return false;  // a filter
        if (parse::is_submission_port(port) || parse::may_pass_on(host)) return true;
        const auto& hosts = options.smarthosts.names;
        return std::any_of(hosts.begin(), hosts.end(),
                           [&](const auto& name) { return domain_matches(host, name); });
      });
  if (options.keep_state) {
    state::Options state_options;
    state_options.table_bytes = options.table_bytes;
    state_options.rule_name = [this](const Verdict& verdict) { return hits.name(verdict); };
    states = std::make_unique<state::States>(policies.back(), names, state_options);
    rates = std::make_unique<rates::Rates>(names, rates::Options{});
  }
  if (store != nullptr) {
    auto positions = ingest::load_positions(*store);
    if (!positions) return tl::unexpected(positions.error());
    if (auto dropped = drop_old(*store, *positions); !dropped) return dropped;
    book.load(std::move(*positions));
    auto opened = correlator->load(*store);
    if (!opened) return opened;
  }
  if (states != nullptr) {
    auto opened = states->open(store.get());
    if (!opened) return opened;
    opened = rates->open(store.get());
    if (!opened) return opened;
    if (store != nullptr) {
      push = std::make_unique<Inbox>(*this);
      opened = push->open();
      if (!opened) return opened;
      opened = seen.load(*store);
      if (!opened) return opened;
      opened = sent->open(*store);
      if (!opened) return opened;
    }
    if (store != nullptr) opened = hits.load(*store);
    if (!opened) return opened;
  }
  start_threads();
  if (push != nullptr) push->start();
  return {};
}

void Engine::Impl::start_threads() {
  // Half of the cores: reading, correlating and states, each one thread, cost twice as much as
  // parsing. More only take turns with them, each with a memo and caches of its own to warm.
  const unsigned count = options.workers != 0
                             ? options.workers
                             : std::max(1u, std::thread::hardware_concurrency() / 2);
  for (unsigned i = 0; i < count; ++i) workers.emplace_back([this, i] { work(i); });
  if (store != nullptr) commit_thread = std::thread([this] { commit(); });
  apply_thread = std::thread([this] { apply(); });
}

void Engine::Impl::commit() {
  name_thread("commit");
  while (std::optional<std::unique_ptr<Cut>> cut = cuts.pop()) {
    Result<void> result;
    // A full disk may get room again; everything else is told at once. Applying waits meanwhile.
    for (int attempt = 0; attempt < 5; ++attempt) {
      result = store->commit((*cut)->set, (*cut)->sync);
      if (result || result.error().code != ErrorCode::no_space) break;
      spdlog::error("{} (try {} of 5)", result.error().message(), attempt + 1);
      for (int i = 0; i < 10 && !stopping; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
      if (stopping) break;
    }
    Message message;
    message.kind = Message::Kind::committed;
    message.committed = std::move(result);
    message.cut = std::move(*cut);
    message.cut->set.clear();
    inbox.push(std::move(message));
  }
}

std::uint32_t Engine::Impl::intern(store::Dictionary dictionary, const std::string& name) {
  std::uint32_t id = 0;
  // Only the name is needed, not its durability: it leaves with the cut that uses it first.
  (void)ask([&](state::States*, store::Names& n) -> Result<void> {
    id = n.intern(dictionary, name);
    return {};
  });
  return id;
}

void Engine::Impl::die(Error error) {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex);
    if (fatal_error.has_value()) return;
    spdlog::critical("{}", error.message());
    fatal_error = std::move(error);
    callback = fatal_callback;
  }
  stopping = true;
  if (push != nullptr) push->abort();
  if (callback) callback();
}

Result<void> Engine::add_tail(TailConfig config) {
  auto zone = TimeResolver::make(config.timezone, {});
  if (!zone) return tl::unexpected(zone.error());
  const std::uint32_t source = impl_->intern(store::Dictionary::source, config.tail.name);
  config.tail.source = source;
  const std::lock_guard lock(impl_->mutex);
  const std::size_t index = impl_->tails.size();
  impl_->tails.push_back(std::make_unique<ingest::Tail>(config.tail, impl_->book, system_clock()));
  impl_->feeders.emplace_back(
      [this, index, config, source] { impl_->feed_tail(index, config, source); });
  return {};
}

Result<PushId> Engine::add_push(parse::PushSource source) {
  if (impl_->push == nullptr) {
    return fail(ErrorCode::usage, "push source", source.name, "there is no store to keep it in");
  }
  return impl_->push->add(std::move(source));
}

void Engine::accept(PushId source, const Batch& batch, Accepted done) {
  if (impl_->push == nullptr) {
    return done(fail(ErrorCode::usage, "accept", "inbox", "there is no store to keep it in"));
  }
  impl_->push->accept(source, batch, std::move(done));
}

Result<void> Engine::accept(PushId source, const Batch& batch) {
  std::promise<Result<void>> answer;
  auto answered = answer.get_future();
  accept(source, batch, [&answer](const Result<void>& result) { answer.set_value(result); });
  return answered.get();
}

void Engine::remember(const ingest::Position& position) {
  const std::lock_guard lock(impl_->mutex);
  impl_->remembered[position.file] = position;
  impl_->anything_remembered.store(true, std::memory_order_release);
}

ingest::PositionBook& Engine::book() {
  return impl_->book;
}

Result<void> Engine::change(std::function<Result<void>(state::States&, store::Names&)> change) {
  auto request = std::make_shared<ChangeRequest>();
  request->run = [run = std::move(change)](state::States* states,
                                           store::Names& names) -> Result<void> {
    if (states != nullptr) return run(*states, names);
    return fail(ErrorCode::usage, "change", "engine", "it keeps no state");
  };
  request->durable = true;
  auto answer = request->answer.get_future();
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->stopped) return fail(ErrorCode::cancelled, "change", "engine", "stopping");
    Message message;
    message.kind = Message::Kind::change;
    message.change = request;
    impl_->inbox.push(std::move(message));
  }
  return answer.get();
}

Result<void> Engine::flush() {
  if (impl_->states == nullptr) return {};
  // Who was told that it was accepted may ask for it at once.
  if (impl_->push != nullptr) impl_->push->wait_applied(2'000'000);
  return change([](state::States&, store::Names&) -> Result<void> { return {}; });
}

Result<void> Engine::stop() {
  // First: what it hands on is to be applied, and names are interned for it.
  if (impl_->push != nullptr) impl_->push->stop();
  std::thread replay_feeder;
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->stopped) {
      return impl_->fatal_error ? Result<void>(tl::unexpected(*impl_->fatal_error))
                                : Result<void>();
    }
    impl_->stopped = true;
    impl_->stopping = true;
    for (auto& tail : impl_->tails) tail->wake();
    for (auto& replay : impl_->replays) replay->group->changed.notify_all();
    replay_feeder = std::move(impl_->replay_feeder);
  }
  for (auto& feeder : impl_->feeders) feeder.join();
  if (replay_feeder.joinable()) replay_feeder.join();
  impl_->blocks.close(impl_->workers.size());
  for (auto& worker : impl_->workers) worker.join();
  Message message;
  message.kind = Message::Kind::stop;
  impl_->inbox.push(std::move(message));
  impl_->apply_thread.join();
  if (impl_->commit_thread.joinable()) {
    impl_->cuts.close();
    impl_->commit_thread.join();
  }
  const std::lock_guard lock(impl_->mutex);
  if (impl_->fatal_error) return tl::unexpected(*impl_->fatal_error);
  return {};
}

Result<void> Engine::finish(std::unique_ptr<Engine> engine) {
  auto result = engine->stop();
  if (engine->impl_->states != nullptr) engine->impl_->states->close();
  engine->impl_->store.reset();
  // Not lost, for leak checkers; volatile, or the compiler drops what nobody reads.
  [[maybe_unused]] static Engine* volatile left = nullptr;
  left = engine.release();
  return result;
}

std::optional<Error> Engine::fatal() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->fatal_error;
}

void Engine::on_fatal(std::function<void()> callback) {
  const std::lock_guard lock(impl_->mutex);
  impl_->fatal_callback = std::move(callback);
}

Metrics Engine::metrics() const {
  Metrics m;
  {
    const std::lock_guard lock(impl_->metrics_mutex);
    m = impl_->published;
    for (const Classifier::Stats& s : impl_->worker_stats) {
      m.classifier.add(s);
    }
  }
  if (impl_->push != nullptr) {
    const PushMetrics applied = m.push;
    m.push = impl_->push->metrics();
    m.push.duplicates = applied.duplicates;
    m.push.keys = applied.keys;
    m.push.keys_forgotten = applied.keys_forgotten;
  }
  m.classify = {m.classifier.calls, m.classifier.calls, 0, 0};
  m.ingest.sent = impl_->ingest_blocks.load(std::memory_order_relaxed);
  m.ingest.errors = impl_->ingest_errors.load(std::memory_order_relaxed);
  m.ingest.received = m.ingest.sent + m.ingest.errors;
  m.blocks_queued = impl_->blocks.depth();
  m.batches_queued = impl_->inbox.depth();
  if (impl_->store != nullptr) m.store = impl_->store->stats();
  m.lag_bytes = impl_->lag_bytes();
  if (m.lag_bytes != 0 && m.watermark_us != 0) {
    m.lag_us = std::max<std::int64_t>(0, system_clock().now_us() - m.watermark_us);
  }
  return m;
}

/// What was applied is read first: what happens meanwhile counts as lag rather than not at all.
std::uint64_t Engine::Impl::lag_bytes() const {
  const std::uint64_t applied = live_bytes_applied.load(std::memory_order_acquire);
  std::uint64_t unread = 0, handed_out = 0;
  const std::lock_guard lock(mutex);
  for (const auto& tail : tails) {
    for (const auto& file : tail->files()) {
      unread += file.size > file.offset ? file.size - file.offset : 0;
    }
    handed_out += tail->stats().bytes;
  }
  return unread + handed_out - applied;
}

std::string loss_trouble(const Metrics& metrics, std::int64_t now_us) {
  if (metrics.loss_seen_us == 0 || now_us - metrics.loss_seen_us > kHourUs) return {};
  const std::string count = metrics.lines.lost_messages == 0
                                ? std::string("messages")
                                : with_commas(metrics.lines.lost_messages) + " messages";
  return "a logger dropped " + count +
         " (rate limit): bounces are missing; raise RateLimitBurst= of journald or "
         "RateLimit.Burst of rsyslog's imuxsock and imjournal";
}

std::vector<ingest::Tail::FileState> Engine::files() const {
  std::vector<ingest::Tail::FileState> all;
  const std::lock_guard lock(impl_->mutex);
  for (const auto& tail : impl_->tails) {
    for (auto& file : tail->files()) all.push_back(std::move(file));
  }
  return all;
}

std::vector<std::string> Engine::troubles() const {
  std::vector<std::string> troubles;
  for (const auto& file : files()) {
    if (!file.trouble.empty()) troubles.push_back(file.path + ": " + file.trouble);
  }
  std::string loss = loss_trouble(metrics(), system_clock().now_us());
  if (!loss.empty()) troubles.push_back(std::move(loss));
  for (std::size_t id = 0; id < impl_->registry.lanes(); ++id) {
    const auto lane = impl_->registry.lane(static_cast<std::uint32_t>(id));
    const std::uint64_t silent = lane->silent_bytes.load(std::memory_order_relaxed);
    if (!lane->live || silent < limits::kSilentBytesMax) continue;
    troubles.push_back(fmt::format("{}: no line of the last {} bytes could be parsed", lane->path,
                                   with_commas(silent)));
  }
  return troubles;
}

const store::Store* Engine::store() const {
  return impl_->store.get();
}
const store::Names& Engine::names() const {
  return impl_->names;
}
const AddressHasher& Engine::hasher() const {
  return impl_->hasher;
}
const state::BlockView& Engine::view() const {
  return impl_->states->view();
}

}  // namespace bounced::pipeline
