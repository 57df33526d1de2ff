#include "rates/rates.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "base/address.h"
#include "base/hash.h"
#include "rates/fields.h"

namespace bounced::rates {
namespace {

using store::Dictionary;
using store::Family;
using store::Names;
using store::Store;
using store::WriteSet;

constexpr std::int64_t kHourUs = std::int64_t{3600} * 1'000'000;

class TempStore {
 public:
  TempStore() {
    std::string pattern = (std::filesystem::temp_directory_path() / "bounced-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "mkdtemp " << pattern;
    path_ = pattern;
    reopen();
  }
  ~TempStore() {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempStore(const TempStore&) = delete;
  TempStore& operator=(const TempStore&) = delete;
  void reopen() {
    store_.reset();
    store_ = Store::open(path_ + "/data", {}).value();
  }
  Store& operator*() { return *store_; }

 private:
  std::string path_;
  std::unique_ptr<Store> store_;
};

/// An event in plain values, and what the naive model needs of it.
struct Plain {
  EventKind kind = EventKind::delivered;
  std::int64_t time_us = 0;
  std::string recipient, sender, campaign, host;
  std::uint16_t stream = 0, tenant = 0;
  Cause cause = Cause::none;
  BounceClass bounce_class = BounceClass::none;
  bool has_verdict = false;
  bool counted = true;
};

/// A Batch of such events, all texts in its arena; most of their names are in its lists.
struct Made {
  explicit Made(const std::vector<Plain>& plains) : pool(1, 64) {
    batch.block = pool.take();
    const AddressHasher hasher;
    batch.events.resize(plains.size());
    for (std::size_t i = 0; i < plains.size(); ++i) {
      const Plain& plain = plains[i];
      Event& event = batch.events[i];
      event.kind = plain.kind;
      event.time_us = plain.time_us;
      event.stream = plain.stream;
      event.tenant = plain.tenant;
      event.recipient = batch.add(plain.recipient);
      event.sender = batch.add(plain.sender);
      event.campaign = batch.add(plain.campaign);
      event.mta_host = batch.add(plain.host);
      if (hasher.ids(plain.recipient, event.recipient_id, event.domain_id) && i % 7 != 0) {
        list(event, plain);
      }
      if (i % 5 != 0) event.sender_domain = domain_key(plain.sender);
      if (plain.has_verdict) {
        Verdict verdict;
        verdict.cause = plain.cause;
        verdict.bounce_class = plain.bounce_class;
        batch.set_verdict(event, verdict);
      }
      counted.push_back(plain.counted);
    }
    for (Event& event : batch.events) events.push_back(&event);
  }
  ~Made() { batch.block.reset(); }
  Made(const Made&) = delete;
  Made& operator=(const Made&) = delete;
  void list(Event& event, const Plain& plain) {
    const auto domain = std::find_if(batch.domains.begin(), batch.domains.end(),
                                     [&](const auto& d) { return d.id == event.domain_id; });
    event.domain = static_cast<std::uint16_t>(domain - batch.domains.begin() + 1);
    if (domain == batch.domains.end()) {
      batch.domains.push_back({event.domain_id, batch.add(raw_domain(plain.recipient))});
    }
    if (plain.host.empty()) return;
    const auto host = std::find_if(batch.hosts.begin(), batch.hosts.end(),
                                   [&](Text text) { return batch.view(text) == plain.host; });
    event.host = static_cast<std::uint16_t>(host - batch.hosts.begin() + 1);
    if (host == batch.hosts.end()) batch.hosts.push_back(event.mta_host);
  }
  BlockPool pool;
  Batch batch;
  std::vector<Event*> events;
  std::vector<std::uint8_t> counted;
};

void feed(Rates& rates, const std::vector<Plain>& plains) {
  const Made made(plains);
  rates.begin(made.batch, made.events.size());
  const std::size_t n = made.events.size(), part = 1 + n % 77;
  for (std::size_t from = 0; from < n; from += part) {
    const auto done =
        rates.part(made.batch, made.events, from, std::min(from + part, n), made.counted);
    ASSERT_TRUE(done) << done.error().message();
  }
  rates.end();
}

void cut(Rates& rates, Names& names, Store& store) {
  WriteSet set;
  names.append_to(set);
  rates.append_to(set);
  EXPECT_EQ(rates.dirty_records(), 0u);
  ASSERT_TRUE(store.commit(set, false));
  rates.committed();
}

using Stored = std::map<std::string, std::string>;

Stored stored(const Store& store, Family family) {
  Stored out;
  EXPECT_TRUE(store.scan(family, {}, {}, [&](std::string_view key, std::string_view value) {
    out.emplace(key, value);
    return true;
  }));
  return out;
}

/// Cells by {dimension, hour, name, cause}, counted the slow way.
using ModelKey = std::tuple<Dimension, std::uint32_t, std::string, std::uint32_t>;
using Model = std::map<ModelKey, Cell>;

class NaiveRates {
 public:
  explicit NaiveRates(std::size_t own_max) : own_max_(own_max) {}

  void apply(const Plain& e) {
    Cell one;
    const bool final_failure = e.kind == EventKind::bounced || e.kind == EventKind::expired;
    if (!e.counted || !effect(e, one)) return;
    const auto hour = static_cast<std::uint32_t>(e.time_us / kHourUs);
    add(Dimension::total, hour, "", 0, one);
    const std::string domain = add(Dimension::domain, hour, after_at(e.recipient), 0, one);
    add(Dimension::sender, hour, after_at(e.sender), 0, one);
    const std::string campaign = add(Dimension::campaign, hour, e.campaign, 0, one);
    add(Dimension::stream, hour, number(e.stream), 0, one);
    add(Dimension::tenant, hour, number(e.tenant), 0, one);
    if (!final_failure && e.kind != EventKind::deferred) return;
    add(Dimension::mta, hour, std::string(mta_suffix(ascii_lower_copy(e.host))), 0, one);
    if (!final_failure) return;
    const auto cause = e.has_verdict ? static_cast<std::uint32_t>(e.cause) : 0;
    add(Dimension::cause, hour, number(cause), 0, one);
    add(Dimension::domain_cause, hour, domain, cause, one);
    add(Dimension::campaign_cause, hour, campaign, cause, one);
  }
  [[nodiscard]] const Model& cells() const { return cells_; }

 private:
  static std::string ascii_lower_copy(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
  }
  static std::string after_at(const std::string& address) {
    const auto at = address.rfind('@');
    return at == std::string::npos ? "" : ascii_lower_copy(address.substr(at + 1));
  }
  static std::string number(std::uint32_t n) { return n == 0 ? "" : std::to_string(n); }

  static bool effect(const Plain& e, Cell& one) {
    switch (e.kind) {
      case EventKind::delivered:
        one.delivered = 1;
        return true;
      case EventKind::deferred:
        one.deferred = 1;
        return true;
      case EventKind::complained:
        one.complained = 1;
        return true;
      case EventKind::unsubscribed:
        one.unsubscribed = 1;
        return true;
      case EventKind::suppressed:
        one.suppressed = 1;
        return true;
      case EventKind::expired:
        one.expired = 1;
        break;
      case EventKind::bounced:
        break;
      default:
        return false;
    }
    const BounceClass c = e.has_verdict ? e.bounce_class : BounceClass::none;
    (c == BounceClass::hard ? one.hard : c == BounceClass::blocked ? one.blocked : one.soft) = 1;
    return true;
  }

  std::string add(Dimension dimension, std::uint32_t hour, std::string name, std::uint32_t cause,
                  const Cell& one) {
    auto& own = own_[{dimension, hour}];
    if (!name.empty() && own.count({name, cause}) == 0) {
      if (own.size() >= own_max_) {
        name.clear();
      } else {
        own.insert({name, cause});
      }
    }
    cells_[{dimension, hour, name, cause}].add(one);
    return name;
  }
  std::size_t own_max_;
  std::map<std::pair<Dimension, std::uint32_t>, std::set<std::pair<std::string, std::uint32_t>>>
      own_;
  Model cells_;
};

bool equal(const Cell& a, const Cell& b) {
  for (const Field field : kFields) {
    if (a.*field != b.*field) return false;
  }
  return true;
}

Model model_of(const Store& store, const Names& names) {
  Model out;
  for (std::size_t d = 0; d < kDimensions; ++d) {
    const auto dimension = static_cast<Dimension>(d);
    const auto done = read(store, dimension, 0, UINT32_MAX, [&](const Row& row) {
      EXPECT_EQ(row.dimension, dimension);
      std::string name;
      switch (dimension) {
        case Dimension::domain:
        case Dimension::sender:
        case Dimension::mta:
        case Dimension::domain_cause:
          name = names.text(Dictionary::domain, row.key);
          break;
        case Dimension::campaign:
        case Dimension::campaign_cause:
          name = names.text(Dictionary::campaign, row.key);
          break;
        default:
          if (row.key != 0) name = std::to_string(row.key);
      }
      EXPECT_TRUE(out.emplace(ModelKey{dimension, row.hour, name, row.key2}, row.cell).second);
    });
    EXPECT_TRUE(done);
  }
  return out;
}

void expect_equal(const Model& actual, const Model& expected) {
  EXPECT_EQ(actual.size(), expected.size());
  for (const auto& [key, cell] : expected) {
    const auto found = actual.find(key);
    ASSERT_NE(found, actual.end()) << to_string(std::get<0>(key)) << " " << std::get<2>(key);
    EXPECT_TRUE(equal(found->second, cell))
        << to_string(std::get<0>(key)) << " " << std::get<2>(key);
  }
}

std::vector<Plain> random_events(std::uint32_t seed, std::size_t n) {
  std::mt19937 random(seed);
  const auto pick = [&](std::uint32_t below) { return random() % below; };
  std::vector<Plain> out(n);
  for (std::size_t i = 0; i < n; ++i) {
    Plain& e = out[i];
    e.kind = pick(2) == 0 ? EventKind::delivered : static_cast<EventKind>(pick(kEventKinds));
    // Mostly in order over about nine hours; sometimes late by any number of them.
    const auto at = static_cast<std::int64_t>(i) * 9 * kHourUs / static_cast<std::int64_t>(n);
    e.time_us = 480'000 * kHourUs + (pick(12) == 0 ? pick(9) * kHourUs : at);
    const std::uint32_t domain = pick(3) == 0 ? pick(40) : pick(4);
    e.recipient = "u" + std::to_string(pick(1000)) + (pick(2) == 0 ? "@D" : "@d") +
                  std::to_string(domain) + ".example";
    if (pick(50) == 0) e.recipient = "no-domain";
    if (pick(5) != 0) {
      e.sender = "b+" + std::to_string(pick(1000)) + (pick(2) == 0 ? "@S" : "@s") +
                 std::to_string(pick(3) == 0 ? pick(3000) : pick(12)) + ".example";
    }
    if (pick(2) == 0) e.campaign = "c" + std::to_string(pick(15)) + std::string(pick(3) * 40, '-');
    if (pick(4) != 0) {
      e.host = "mx" + std::to_string(pick(9)) + ".MAIL.h" + std::to_string(pick(12)) + ".co.uk";
    }
    e.stream = static_cast<std::uint16_t>(pick(3));
    e.tenant = static_cast<std::uint16_t>(pick(2));
    e.has_verdict = pick(5) != 0;
    e.cause = static_cast<Cause>(pick(kBuiltinCauses));
    e.bounce_class = static_cast<BounceClass>(pick(5));
    e.counted = pick(8) != 0;
  }
  return out;
}

TEST(Dimensions, NamesRoundTrip) {
  for (std::size_t d = 0; d < kDimensions; ++d) {
    Dimension back = Dimension::mta;
    ASSERT_TRUE(from_string(to_string(static_cast<Dimension>(d)), back));
    EXPECT_EQ(static_cast<std::size_t>(back), d);
  }
  Dimension out = Dimension::sender;
  EXPECT_FALSE(from_string("weather", out));
  EXPECT_FALSE(from_string("", out));
}

TEST(CellTest, CodecRoundTripsAndRefusesDamage) {
  Cell cell;
  cell.delivered = 1;
  cell.blocked = UINT64_MAX;
  cell.suppressed = 300;
  std::string bytes;
  encode(cell, bytes);
  EXPECT_TRUE(equal(decode(bytes).value(), cell));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode(std::string_view(bytes).substr(0, size)));
  }
  EXPECT_FALSE(decode(bytes + "x"));
  bytes[0] = 2;
  EXPECT_FALSE(decode(bytes)) << "a newer version";
  std::string nothing;
  encode(Cell(), nothing);
  EXPECT_LE(nothing.size(), 2u);
  EXPECT_TRUE(equal(decode(nothing).value(), Cell()));
}

TEST(CellTest, SentIsDeliveredAndFinalFailures) {
  Cell cell;
  EXPECT_EQ(cell.bounce_percent(), 0);
  cell.delivered = 96;
  cell.hard = 1;
  cell.soft = 2;
  cell.blocked = 1;
  cell.expired = 2;    // among the four
  cell.deferred = 50;  // attempts, not outcomes
  EXPECT_EQ(cell.sent(), 100u);
  EXPECT_DOUBLE_EQ(cell.bounce_percent(), 4.0);
  Cell sum = cell;
  sum.add(cell);
  EXPECT_EQ(sum.sent(), 200u);
  EXPECT_EQ(sum.expired, 4u);
}

TEST(MtaSuffix, KeepsWhatTellsProvidersApart) {
  EXPECT_EQ(mta_suffix("gmail-smtp-in.l.google.com"), "google.com");
  EXPECT_EQ(mta_suffix("mx1.mail.example.co.uk"), "example.co.uk");
  EXPECT_EQ(mta_suffix("mx.uol.com.br"), "uol.com.br");
  EXPECT_EQ(mta_suffix("mx.t-online.de."), "t-online.de");
  EXPECT_EQ(mta_suffix("co.uk"), "co.uk");
  EXPECT_EQ(mta_suffix("localhost"), "localhost");
  EXPECT_EQ(mta_suffix("192.0.2.17"), "192.0.2.17");
  EXPECT_EQ(mta_suffix("2001:db8::1"), "2001:db8::1");
  EXPECT_EQ(mta_suffix("..."), "");
  EXPECT_EQ(mta_suffix(".co.uk"), ".co.uk");
  EXPECT_EQ(mta_suffix(""), "");
}

TEST(RatesTest, EachKindCountsWhereItShould) {
  TempStore store;
  Names names;
  Rates rates(names, {});
  ASSERT_TRUE(rates.open(&*store));
  Plain e;
  e.time_us = 7 * kHourUs + 1;
  e.recipient = "a@Example.com";
  e.sender = "x@News.Example.Org";
  e.host = "mx.Provider.net";
  e.has_verdict = true;
  e.cause = Cause::mailbox_unknown;
  e.bounce_class = BounceClass::hard;
  std::vector<Plain> all;
  for (const EventKind kind :
       {EventKind::delivered, EventKind::bounced, EventKind::expired, EventKind::deferred,
        EventKind::relayed, EventKind::probed, EventKind::discarded, EventKind::autoreplied}) {
    e.kind = kind;
    all.push_back(e);
  }
  e.kind = EventKind::bounced;
  e.bounce_class = BounceClass::notice;
  all.push_back(e);
  e.counted = false;
  all.push_back(e);
  feed(rates, all);
  cut(rates, names, *store);
  const Model cells = model_of(*store, names);
  const Cell& total = cells.at({Dimension::total, 7, "", 0});
  EXPECT_EQ(total.delivered, 1u);
  EXPECT_EQ(total.hard, 2u);
  EXPECT_EQ(total.soft, 1u) << "a notice that ended a message counts as soft";
  EXPECT_EQ(total.expired, 1u);
  EXPECT_EQ(total.deferred, 1u);
  EXPECT_TRUE(equal(rates.total(), total));
  EXPECT_TRUE(equal(cells.at({Dimension::domain, 7, "example.com", 0}), total));
  EXPECT_TRUE(equal(cells.at({Dimension::sender, 7, "news.example.org", 0}), total));
  const Cell& host = cells.at({Dimension::mta, 7, "provider.net", 0});
  EXPECT_EQ(host.delivered, 0u);
  EXPECT_EQ(host.deferred, 1u);
  const auto cause = static_cast<std::uint32_t>(Cause::mailbox_unknown);
  EXPECT_EQ(cells.at({Dimension::domain_cause, 7, "example.com", cause}).failed(), 3u);
  EXPECT_EQ(cells.at({Dimension::cause, 7, std::to_string(cause), 0}).deferred, 0u);
}

TEST(RatesTest, EqualsANaiveCount) {
  for (const std::uint32_t own_max : {200'000u, 10u}) {
    SCOPED_TRACE(own_max);
    TempStore store;
    Names names;
    Rates rates(names, {own_max});
    ASSERT_TRUE(rates.open(&*store));
    NaiveRates naive(own_max);
    const std::vector<Plain> events = random_events(own_max, 6000);
    for (const Plain& e : events) naive.apply(e);
    feed(rates, events);
    cut(rates, names, *store);
    expect_equal(model_of(*store, names), naive.cells());
  }
}

TEST(RatesTest, EveryDimensionSumsUpToTheTotal) {
  TempStore store;
  Names names;
  Rates rates(names, {5});
  ASSERT_TRUE(rates.open(&*store));
  feed(rates, random_events(5, 3000));
  cut(rates, names, *store);
  for (const Dimension dimension : {Dimension::total, Dimension::domain, Dimension::sender,
                                    Dimension::campaign, Dimension::stream, Dimension::tenant}) {
    Cell sum;
    ASSERT_TRUE(read(*store, dimension, 0, UINT32_MAX, [&](const Row& row) { sum.add(row.cell); }));
    EXPECT_TRUE(equal(sum, rates.total())) << to_string(dimension);
  }
  Cell causes;
  ASSERT_TRUE(
      read(*store, Dimension::cause, 0, UINT32_MAX, [&](const Row& row) { causes.add(row.cell); }));
  EXPECT_EQ(causes.failed(), rates.total().failed());
}

/// Cuts and crashes anywhere, batches of any size: always the same stored bytes.
TEST(RatesTest, CutsAndRestartsLeaveNoTrace) {
  for (const std::uint32_t seed : {1u, 2u, 3u, 4u}) {
    SCOPED_TRACE(seed);
    const Options options{seed % 2 == 0 ? 8u : 200'000u};
    const std::vector<Plain> events = random_events(seed, 4000);
    TempStore plain;
    {
      Names names;
      Rates rates(names, options);
      ASSERT_TRUE(rates.open(&*plain));
      feed(rates, events);
      cut(rates, names, *plain);
    }
    std::mt19937 random(seed);
    TempStore store;
    auto names = std::make_unique<Names>();
    auto rates = std::make_unique<Rates>(*names, options);
    ASSERT_TRUE(rates->open(&*store));
    std::size_t committed = 0, at = 0;
    int crashes = 0, cuts = 0;
    while (at < events.size() || committed < events.size()) {
      const std::size_t n = std::min<std::size_t>(random() % 200, events.size() - at);
      feed(*rates, {events.begin() + static_cast<std::ptrdiff_t>(at),
                    events.begin() + static_cast<std::ptrdiff_t>(at + n)});
      at += n;
      if (random() % 3 == 0 || at == events.size()) {
        cut(*rates, *names, *store);
        committed = at;
        ++cuts;
      }
      if (random() % 6 == 0) {  // everything since the last cut is lost, and read again
        ++crashes;
        rates.reset();
        names = std::make_unique<Names>();
        if (random() % 4 == 0) store.reopen();
        ASSERT_TRUE(names->load(*store));
        rates = std::make_unique<Rates>(*names, options);
        ASSERT_TRUE(rates->open(&*store));
        at = committed;
      }
    }
    EXPECT_GT(crashes, 2);
    EXPECT_GT(cuts, 5);
    EXPECT_EQ(stored(*store, Family::rates), stored(*plain, Family::rates));
    EXPECT_EQ(stored(*store, Family::names), stored(*plain, Family::names));
  }
}

TEST(RatesTest, WithoutCommittedNothingIsForgotten) {
  TempStore store;
  Names names;
  Rates rates(names, {});
  ASSERT_TRUE(rates.open(&*store));
  NaiveRates naive(200'000);
  const std::vector<Plain> events = random_events(77, 2000);
  WriteSet set;
  for (std::size_t at = 0; at < events.size(); at += 500) {
    const std::vector<Plain> some(events.begin() + static_cast<std::ptrdiff_t>(at),
                                  events.begin() + static_cast<std::ptrdiff_t>(at + 500));
    feed(rates, some);
    for (const Plain& e : some) naive.apply(e);
    rates.append_to(set);  // collected, not yet written: the store knows none of it
  }
  names.append_to(set);
  ASSERT_TRUE((*store).commit(set, true));
  expect_equal(model_of(*store, names), naive.cells());
}

TEST(RatesTest, TimesThatJumpAskForACut) {
  TempStore store;
  Names names;
  Rates rates(names, {});
  ASSERT_TRUE(rates.open(&*store));
  // A busy hour, and jumps between it and others.
  std::vector<Plain> plains;
  const auto add = [&](int hour, const std::string& domain) {
    Plain plain;
    plain.time_us = hour * kHourUs;
    plain.recipient = "a@" + domain;
    plains.push_back(plain);
  };
  for (int i = 0; i < 1000; ++i) add(1'000, "d" + std::to_string(i) + ".example");
  feed(rates, plains);
  EXPECT_EQ(rates.passing_bytes(), 0u) << "what stays is no reason";
  plains.clear();
  for (int i = 0; i < 500; ++i) {
    add(2'000 + i * 3, "x.example");
    add(1'000, "x.example");
  }
  feed(rates, plains);
  EXPECT_GT(rates.passing_bytes(), std::size_t{500} * 8192);
  EXPECT_LT(rates.passing_bytes(), std::size_t{500} * 16384);
  cut(rates, names, *store);
  EXPECT_EQ(rates.passing_bytes(), 0u);
  feed(rates, plains);
  cut(rates, names, *store);
  std::uint64_t busy = 0;
  ASSERT_TRUE(read(*store, Dimension::total, 1'000, 1'001,
                   [&](const Row& row) { busy += row.cell.delivered; }));
  EXPECT_EQ(busy, 1000u + 500u + 500u);
}

TEST(RatesTest, NamesOfOtherAreNotInterned) {
  TempStore store;
  Names names;
  Rates rates(names, {3});
  ASSERT_TRUE(rates.open(&*store));
  std::vector<Plain> events(500);
  for (std::size_t i = 0; i < events.size(); ++i) {
    events[i].time_us = kHourUs;
    events[i].recipient = "a@d" + std::to_string(i) + ".example";
  }
  feed(rates, events);
  EXPECT_EQ(names.size(Dictionary::domain), 3u);
  cut(rates, names, *store);
  EXPECT_EQ(model_of(*store, names).at({Dimension::domain, 1, "", 0}).delivered, 497u);
}

TEST(RatesTest, TimesOutsideReasonAreHeld) {
  TempStore store;
  Names names;
  Rates rates(names, {});
  ASSERT_TRUE(rates.open(&*store));
  std::vector<Plain> events(4);
  const std::int64_t times[] = {INT64_MIN, -1, INT64_MAX, INT64_MAX - kHourUs};
  for (std::size_t i = 0; i < events.size(); ++i) {
    events[i].recipient = "a@b.example";
    events[i].time_us = times[i];
  }
  feed(rates, events);
  cut(rates, names, *store);
  EXPECT_EQ(model_of(*store, names).at({Dimension::total, 0, "", 0}).delivered, 2u);
  EXPECT_EQ(rates.total().delivered, 4u);
}

TEST(RatesTest, ReadsHoursHalfOpenAndInOrder) {
  TempStore store;
  Names names;
  Rates rates(names, {});
  ASSERT_TRUE(rates.open(&*store));
  std::vector<Plain> events(10);
  for (std::size_t i = 0; i < events.size(); ++i) {
    events[i].recipient = "a@d" + std::to_string(i % 2) + ".example";
    events[i].time_us = static_cast<std::int64_t>(9 - i) * kHourUs;
  }
  feed(rates, events);
  cut(rates, names, *store);
  std::vector<std::uint32_t> hours;
  ASSERT_TRUE(
      read(*store, Dimension::domain, 3, 6, [&](const Row& row) { hours.push_back(row.hour); }));
  EXPECT_EQ(hours, (std::vector<std::uint32_t>{3, 4, 5}));
}

TEST(RatesTest, DamagedCellsAreDataErrors) {
  TempStore store;
  WriteSet set;
  std::string key;
  append_key(key, {Dimension::total, 1, 0, 0, {}});
  set.put(Family::rates, key, "\x09garbage");
  ASSERT_TRUE((*store).commit(set, true));
  const auto done = read(*store, Dimension::total, 0, 9, [](const Row&) {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::data);
  Names names;
  Rates rates(names, {});
  ASSERT_TRUE(rates.open(&*store));
  Plain e;
  e.time_us = kHourUs;
  e.recipient = "a@b.example";
  const Made made({e});
  EXPECT_FALSE(rates.apply(made.batch, made.events, made.counted))
      << "counting on from a wrong number would hide the damage";
}

}  // namespace
}  // namespace bounced::rates
