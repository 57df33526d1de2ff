#include "correlate/streams.h"

#include <algorithm>

#include "base/address.h"
#include "base/hash.h"
#include "base/text.h"

namespace bounced::correlate {
namespace {

bool any_equal(const std::vector<std::string>& wanted, std::string_view value) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

bool any_domain(const std::vector<std::string>& wanted, std::string_view domain) {
  if (wanted.empty()) return true;
  for (const std::string& entry : wanted) {
    if (iequals(entry, domain)) return true;
    if (!entry.empty() && entry.front() == '.' && domain.size() > entry.size() &&
        iequals(domain.substr(domain.size() - entry.size()), entry)) {
      return true;
    }
  }
  return false;
}

}  // namespace

StreamMatcher::StreamMatcher(std::vector<StreamRule> rules, store::Names& names) {
  for (StreamRule& rule : rules) {
    Match match;
    match.stream = static_cast<std::uint16_t>(names.intern(store::Dictionary::stream, rule.name));
    if (!rule.tenant.empty()) {
      match.tenant =
          static_cast<std::uint16_t>(names.intern(store::Dictionary::tenant, rule.tenant));
    }
    rules_.push_back(Rule{std::move(rule), match});
  }
  if (!rules_.empty()) memo_.resize(kMemoSlots);
}

StreamMatcher::Match StreamMatcher::search(const StreamFacts& facts,
                                           std::string_view domain) const {
  for (const Rule& entry : rules_) {
    const StreamRule& rule = entry.rule;
    if (any_equal(rule.sasl_users, facts.sasl_user) && any_domain(rule.sender_domains, domain) &&
        any_equal(rule.instances, facts.instance) && any_equal(rule.campaigns, facts.campaign)) {
      return entry.match;
    }
  }
  return {};
}

StreamMatcher::Match StreamMatcher::match(const StreamFacts& facts) {
  if (rules_.empty()) return {};
  std::string_view domain = raw_domain(facts.sender);
  if (!domain.empty() && domain.back() == '.') domain.remove_suffix(1);
  key_.clear();
  for (const std::string_view part : {facts.sasl_user, domain, facts.instance, facts.campaign}) {
    const auto size = static_cast<std::uint32_t>(part.size());
    key_.append(reinterpret_cast<const char*>(&size), sizeof size);
    key_.append(part);
  }
  Memo& memo = memo_[hash64(key_) % kMemoSlots];
  if (memo.key != key_) {
    memo.match = search(facts, domain);
    memo.key = key_;
  }
  return memo.match;
}

}  // namespace bounced::correlate
