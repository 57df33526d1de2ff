#include "report/digest.h"

#include <fmt/format.h>

#include <optional>

#include "base/hash.h"
#include "correlate/open_codec.h"
#include "rates/rates.h"
#include "report/address_report.h"
#include "state/address_state.h"
#include "state/state.h"
#include "store/packed_keys.h"

namespace bounced::report {
namespace {

/// Collects one record's fields, each with its length, so that no two records read alike.
class Record {
 public:
  Record& text(std::string_view value) {
    number(static_cast<std::int64_t>(value.size()));
    bytes_.append(value);
    return *this;
  }
  Record& number(std::int64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  template <class Enum>
  Record& code(Enum value) {
    return number(static_cast<std::int64_t>(value));
  }
  void add_to(Digest::Part& part) const {
    const AddressId h = hash128(bytes_, public_secret());
    part.lo += h.lo;
    part.hi += h.hi + (part.lo < h.lo ? 1 : 0);
    ++part.records;
  }
  std::string bytes_;
};

class Digester {
 public:
  Digester(const store::Store& store, const store::Names& names) : store_(store), names_(names) {}

  Result<Digest> run() {
    for (auto step : {&Digester::states, &Digester::evidence, &Digester::rates, &Digester::open,
                      &Digester::seen}) {
      if (auto done = (this->*step)(); !done) return tl::unexpected(done.error());
    }
    for (const auto& part : digest_.parts) {
      digest_.lo += part.lo;
      digest_.hi += part.hi + (digest_.lo < part.lo ? 1 : 0);
    }
    return digest_;
  }

 private:
  Digest::Part& begin(std::string name) {
    digest_.parts.push_back({std::move(name), 0, 0, 0});
    return digest_.parts.back();
  }

  Result<void> states() {
    Digest::Part& part = begin("address");
    std::optional<Error> bad;
    auto scanned = store_.scan(store::Family::address, {}, {},
                               [&](std::string_view key, std::string_view value) {
                                 auto state = state::decode(value);
                                 if (!state) {
                                   bad = state.error();
                                   return false;
                                 }
                                 Record record;
                                 record.number(static_cast<std::int64_t>(key.size()));
                                 for (auto& failure : state->failures)
                                   failure.source = 0, failure.position = 0;
                                 for (auto& block : state->blocks) {
                                   record.text(scope_name(block, names_));
                                   record.text(names_.text(store::Dictionary::actor, block.actor));
                                   block.scope_id = 0;
                                   block.actor = 0;
                                 }
                                 std::string bytes;
                                 state::encode(*state, bytes);
                                 record.text(bytes).add_to(part);
                                 return true;
                               });
    if (bad) return tl::unexpected(*bad);
    return scanned;
  }

  // Evidence is keyed by the address's id; its clear text is fetched for a batch at a time.
  Result<void> evidence() {
    Digest::Part& part = begin("evidence");
    struct Pending {
      std::string key;
      Record record;
    };
    std::vector<Pending> pending;
    std::optional<Error> bad;
    const auto flush = [&] {
      std::vector<std::string_view> keys;
      keys.reserve(pending.size());
      for (const Pending& p : pending) keys.emplace_back(p.key);
      std::vector<std::optional<std::string>> values;
      if (auto got = store_.multi_get(store::Family::address, keys, values); !got) {
        bad = got.error();
        return false;
      }
      for (std::size_t i = 0; i < pending.size(); ++i) {
        if (values[i].has_value()) {
          auto state = state::decode(*values[i]);
          if (state) pending[i].record.text(state->text);
        }
        pending[i].record.add_to(part);
      }
      pending.clear();
      return true;
    };
    auto scanned = store_.scan(
        store::Family::evidence, {}, {}, [&](std::string_view key, std::string_view value) {
          auto e = state::decode_evidence(value);
          if (!e) {
            bad = e.error();
            return false;
          }
          Pending p;
          p.key = std::string(key.substr(0, key.size() - 1));
          p.record.number(key.back()).number(e->time_us).code(e->kind).code(e->verdict.cause);
          p.record.code(e->verdict.severity).number(e->verdict.confidence).text(e->rule);
          p.record.number(e->smtp_code).code(e->phase).text(e->queue_id).text(e->message_id);
          p.record.text(e->sender).text(e->mta_host).text(e->mta_ip).text(e->diagnostic);
          pending.push_back(std::move(p));
          return pending.size() < 4096 || flush();
        });
    if (!bad && scanned && !pending.empty()) flush();
    if (bad) return tl::unexpected(*bad);
    return scanned;
  }

  Result<void> rates() {
    Digest::Part& part = begin("rates");
    using rates::Dimension;
    for (const Dimension d :
         {Dimension::total, Dimension::domain, Dimension::sender, Dimension::campaign,
          Dimension::stream, Dimension::tenant, Dimension::cause, Dimension::domain_cause,
          Dimension::campaign_cause, Dimension::mta}) {
      auto done = rates::read(store_, d, 0, UINT32_MAX, [&](const rates::Row& row) {
        Record record;
        record.code(d).number(row.hour).text(key_text(d, row.key)).number(row.key2);
        std::string bytes;
        rates::encode(row.cell, bytes);
        record.text(bytes).add_to(part);
      });
      if (!done) return done;
    }
    return {};
  }

  [[nodiscard]] std::string key_text(rates::Dimension dimension, std::uint32_t key) const {
    using rates::Dimension;
    using store::Dictionary;
    switch (dimension) {
      case Dimension::domain:
      case Dimension::sender:
      case Dimension::mta:
      case Dimension::domain_cause:
        return std::string(names_.text(Dictionary::domain, key));
      case Dimension::campaign:
      case Dimension::campaign_cause:
        return std::string(names_.text(Dictionary::campaign, key));
      case Dimension::stream:
        return std::string(names_.text(Dictionary::stream, key));
      case Dimension::tenant:
        return std::string(names_.text(Dictionary::tenant, key));
      case Dimension::total:
      case Dimension::cause:
        break;
    }
    return std::to_string(key);
  }

  Result<void> open() {
    Digest::Part& part = begin("open");
    std::optional<Error> bad;
    auto scanned =
        store_.scan(store::Family::open, {}, {}, [&](std::string_view key, std::string_view value) {
          if (key.size() != 8) return true;  // the sweep's clock
          correlate::OpenMessage message;
          message.reset(store::read_u64_be(key.data()), 0);
          std::vector<correlate::DeferredRecipient> recipients;
          auto decoded = correlate::decode_open(message.key, value, message, recipients);
          if (!decoded) {
            bad = decoded.error();
            return false;
          }
          Record record;
          record.number(static_cast<std::int64_t>(message.key)).number(message.first_us);
          record.number(message.nrcpt).number(message.done);
          record.number(message.flags & correlate::OpenMessage::kLasting);
          for (std::size_t f = 0; f < correlate::kFields; ++f) {
            record.text(message.text(static_cast<correlate::Field>(f)));
          }
          for (const auto& r : recipients) {
            record.text(r.texts).number(r.arrived_us).number(r.smtp_code).number(r.attempted);
            record.code(r.best.cause).code(r.exempt.cause);
          }
          record.add_to(part);
          return true;
        });
    if (bad) return tl::unexpected(*bad);
    return scanned;
  }

  Result<void> seen() {
    Digest::Part& part = begin("seen");
    return store_.scan(store::Family::seen, {}, {}, [&](std::string_view key, std::string_view v) {
      store::visit_packed_keys(
          key, v, [&](std::string_view one) { Record().text(one).text({}).add_to(part); });
      return true;
    });
  }

  const store::Store& store_;
  const store::Names& names_;
  Digest digest_;
};

}  // namespace

Result<Digest> digest(const store::Store& store, const store::Names& names) {
  return Digester(store, names).run();
}

}  // namespace bounced::report
