#include <filesystem>

#include "cli/app.h"

namespace bounced::cli {

struct Session::Impl {
  pipeline::Engine* engine = nullptr;
  std::unique_ptr<pipeline::Engine> own_engine;
  std::unique_ptr<store::Store> own_store;
  store::Names own_names;
  AddressHasher own_hasher;
  std::shared_ptr<const RuleSet> rules;
  Policy policy;
};

Session::Session() : impl_(std::make_unique<Impl>()) {}
Session::~Session() {
  if (impl_->own_engine != nullptr) (void)impl_->own_engine->stop();
}

namespace {

Result<void> must_have_store(const std::string& dir) {
  std::error_code ignored;
  if (std::filesystem::is_directory(dir, ignored)) return {};
  return fail(ErrorCode::io, "open", dir, "there is no data directory here",
              "name it with --data, or make one with `bounced replay` or `bounced run`");
}

}  // namespace

Result<std::unique_ptr<Session>> Session::read(const App& app) {
  std::unique_ptr<Session> session(new Session());
  Impl& impl = *session->impl_;
  if (app.live != nullptr) {
    impl.engine = app.live;
    if (auto flushed = app.live->flush(); !flushed) return tl::unexpected(flushed.error());
    impl.rules = app.live->rules();  // these, though others may be loaded meanwhile
    return session;
  }
  auto config = app.config();
  if (!config) return tl::unexpected(config.error());
  if (auto there = must_have_store(config->data_dir); !there) return tl::unexpected(there.error());
  store::OpenOptions options;
  options.create = false;
  options.read_only = true;
  options.fold_local_part = config->fold_local_part;
  auto opened = store::Store::open(config->data_dir, options);
  if (!opened) {
    // Without a store nothing was looked for, let alone not found.
    Error error = opened.error();
    if (error.code == ErrorCode::not_found) error.code = ErrorCode::io;
    return tl::unexpected(std::move(error));
  }
  impl.own_store = std::move(*opened);
  if (auto named = impl.own_names.load(*impl.own_store); !named) {
    return tl::unexpected(named.error());
  }
  impl.own_hasher = AddressHasher(impl.own_store->secret(), {impl.own_store->fold_local_part()});
  auto rules = rules_of(app, impl.own_names.all(store::Dictionary::cause));
  if (!rules) return tl::unexpected(rules.error());
  impl.rules = *rules;
  auto policy = state::load_policy(config->policy_file, causes(**rules));
  if (!policy) return tl::unexpected(policy.error());
  impl.policy = *policy;
  return session;
}

Result<std::unique_ptr<Session>> Session::write(const App& app, bool must_exist) {
  std::unique_ptr<Session> session(new Session());
  Impl& impl = *session->impl_;
  if (app.live != nullptr) {
    impl.engine = app.live;
    impl.rules = app.live->rules();
    return session;
  }
  auto config = app.config();
  if (!config) return tl::unexpected(config.error());
  const auto there = must_have_store(config->data_dir);
  if (must_exist && !there) return tl::unexpected(there.error());
  auto engine = pipeline::Engine::open(engine_options(*config));
  if (!engine) return tl::unexpected(engine.error());
  // Where --data was mistyped, nobody would look for what is written now.
  if (!there) app.io.notice("a new data directory: " + config->data_dir);
  impl.own_engine = std::move(*engine);
  impl.engine = impl.own_engine.get();
  impl.rules = impl.engine->rules();
  return session;
}

const store::Store& Session::store() const {
  return impl_->engine != nullptr ? *impl_->engine->store() : *impl_->own_store;
}
const store::Names& Session::names() const {
  return impl_->engine != nullptr ? impl_->engine->names() : impl_->own_names;
}
const AddressHasher& Session::hasher() const {
  return impl_->engine != nullptr ? impl_->engine->hasher() : impl_->own_hasher;
}
pipeline::Engine* Session::engine() const {
  return impl_->engine;
}
const RuleSet& Session::rules() const {
  return *impl_->rules;
}
const Policy& Session::policy() const {
  return impl_->engine != nullptr ? impl_->engine->policy() : impl_->policy;
}

}  // namespace bounced::cli
