// What tests of States with a real store share: a folder, batches of events, a cut.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "facts.h"
#include "state/state.h"

namespace bounced::state::testing {

namespace fs = std::filesystem;

struct TempDir {
  std::string path;
  TempDir() {
    std::string pattern = (fs::temp_directory_path() / "bounced-state-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~TempDir() { fs::remove_all(path); }
};

/// Makes batches of events the way parse and correlate would.
struct Feed {
  BlockPool pool{4, 4096};
  Batch batch;
  std::vector<Event> events;
  AddressHasher hasher{public_secret()};

  Feed() { batch.block = pool.take(); }
  void use(const store::Store& store) {
    hasher = AddressHasher(store.secret(), AddressOptions{store.fold_local_part()});
  }
  Event& add(EventKind kind, const std::string& address, std::int64_t t, std::uint64_t message,
             Cause cause = Cause::none, int confidence = 98) {
    Event e;
    e.kind = kind;
    e.time_us = t;
    e.message = message;
    e.id = message * 7919;
    e.offset = message;
    e.source = 1;
    e.recipient = batch.add(address);
    e.mta_host = batch.add("mx1.example.net");
    EXPECT_TRUE(hasher.ids(address, e.recipient_id, e.domain_id));
    if (cause != Cause::none) {
      Verdict v = verdict(cause, confidence);
      v.bounce_class = BounceClass::hard;
      batch.set_verdict(e, v);
      e.diagnostic = batch.add("550 5.1.1 said the server to " + address);
      e.smtp_code = 550;
    }
    events.push_back(e);
    return events.back();
  }
  std::vector<std::uint8_t> apply(States& states) {
    std::vector<Event*> pointers;
    for (Event& e : events) pointers.push_back(&e);
    std::vector<std::uint8_t> counted;
    const auto done = states.apply(batch, pointers, &counted);
    EXPECT_TRUE(done) << done.error().message();
    events.clear();
    batch.clear();
    batch.block = pool.take();
    return counted;
  }
  AddressId id(const std::string& address) const {
    AddressId a, d;
    hasher.ids(address, a, d);
    return a;
  }
  AddressId domain(const std::string& address) const {
    AddressId a, d;
    hasher.ids(address, a, d);
    return d;
  }
};

inline std::unique_ptr<store::Store> open_store(const std::string& dir) {
  auto store = store::Store::open(dir, {});
  EXPECT_TRUE(store) << store.error().message();
  return std::move(*store);
}

inline void cut(States& states, store::Names& names, store::Store& store) {
  store::WriteSet set;
  states.append_to(set);
  names.append_to(set);
  const auto done = store.commit(set, false);
  ASSERT_TRUE(done) << done.error().message();
  states.committed();
}

/// Everything that counts, decoded only as far as keys and values.
inline std::map<std::string, std::string> dump(const store::Store& store) {
  std::map<std::string, std::string> all;
  for (const store::Family family :
       {store::Family::address, store::Family::evidence, store::Family::by_block,
        store::Family::due, store::Family::changes}) {
    EXPECT_TRUE(store.scan(family, {}, {}, [&](auto key, auto value) {
      all[std::to_string(static_cast<int>(family)) + std::string(key)] = std::string(value);
      return true;
    }));
  }
  EXPECT_TRUE(store.scan(store::Family::meta, "state/", {}, [&](auto key, auto value) {
    all["meta" + std::string(key)] = std::string(value);
    return true;
  }));
  return all;
}

struct Opened {
  std::unique_ptr<store::Store> store;
  store::Names names;
  std::unique_ptr<States> states;
  explicit Opened(const std::string& dir, std::size_t table_bytes = std::size_t{64} << 20)
      : store(open_store(dir)) {
    EXPECT_TRUE(names.load(*store));
    Options options;
    options.table_bytes = table_bytes;
    options.rule_name = [](const Verdict&) { return std::string_view("test/rule"); };
    states = std::make_unique<States>(default_policy(), names, options);
    EXPECT_TRUE(states->open(store.get()));
  }
};

/// Everything that is due by then.
inline void tick_all(States& states, std::int64_t watermark_us) {
  for (bool more = true; more;) {
    const Result<bool> ticked = states.tick(watermark_us);
    ASSERT_TRUE(ticked) << ticked.error().message();
    more = *ticked;
  }
}

}  // namespace bounced::state::testing
