#include "classify/rule_set.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "base/hash.h"
#include "base/text.h"
#include "classify/codes.h"
#include "classify/masked.h"
#include "classify/normalise.h"
#include "classify/rule_file.h"

namespace bounced {
std::string_view rule_image();  // of the built-in rules; bounced_embed_image()

namespace {

using classify::Problem;
using classify::Rule;
using classify::RuleFiles;
using std::string;

void complain(RuleFiles& files, const Rule& rule, string message, string hint = {}) {
  files.problems.push_back(
      {Problem::Level::error, rule.file, rule.line, rule.id, std::move(message), std::move(hint)});
}

/// A literal may begin or end with one blank, to stand for a word's edge.
void check_literal(classify::Normaliser& normaliser, const Rule& rule, const string& literal,
                   RuleFiles& files) {
  const std::string_view words = trim(literal);
  if (words.size() + 2 < literal.size() || words.empty()) {
    complain(files, rule, "literal `" + literal + "` has more than one blank at its edge");
    return;
  }
  classify::Normalised normal;
  normaliser.run(words, 0, normal);
  if (normal.text == words) return;
  complain(files, rule,
           "literal `" + literal + "` never matches: the normaliser makes it `" +
               string(normal.text) + "`",
           normal.smtp_code != 0 || normal.enhanced.present() || normal.nested_smtp != 0
               ? "codes are taken off the text: use `smtp` and `enhanced`"
               : "write it as the normaliser does");
}

void check_rules_alone(RuleFiles& files) {
  classify::Normaliser normaliser;
  for (const Rule& rule : files.rules) {
    for (const auto* list : {&rule.any, &rule.with, &rule.all, &rule.none}) {
      for (const string& literal : *list) check_literal(normaliser, rule, literal, files);
    }
    for (const string& regex : rule.regex) {
      unsigned width = 0;
      const string why = classify::regex_error(regex, width);
      if (!why.empty()) complain(files, rule, "regex `" + regex + "`: " + why);
    }
  }
}

void check_ids(RuleFiles& files) {
  std::map<string, const Rule*> ids;
  for (const Rule& rule : files.rules) {
    const auto [at, added] = ids.emplace(rule.id, &rule);
    if (!added) complain(files, rule, "duplicate id, first at " + at->second->where());
    for (const char* const own : {"code/", "hint/", "kind/", "learned/"}) {
      if (rule.id.rfind(own, 0) != 0) continue;
      complain(files, rule, "ids that begin with " + string(own) + " are the program's own");
    }
  }
}

void check_causes(RuleFiles& files) {
  std::map<string, const classify::CauseEntry*> entries;
  std::vector<std::string_view> names;
  std::vector<Problem> found;
  for (const classify::CauseEntry& entry : files.causes) {
    const auto [at, added] = entries.emplace(entry.info.id, &entry);
    if (!added) {
      found.push_back(
          {Problem::Level::error, entry.file, entry.line, entry.info.id,
           "duplicate cause, first at " + at->second->file + ":" + std::to_string(at->second->line),
           ""});
    }
    names.push_back(entry.info.id);
  }
  for (std::uint16_t n = 1; n < kBuiltinCauses; ++n) {
    const string id(builtin_cause_id(static_cast<Cause>(n)));
    if (entries.count(id) == 0) {
      found.push_back({Problem::Level::error, "causes.toml", 0, id, "no [[cause]] of this name",
                       "every built-in cause needs its row"});
    }
  }
  files.problems.insert(files.problems.end(), found.begin(), found.end());
  for (const Rule& rule : files.rules) {
    if (entries.count(rule.cause) != 0) continue;
    const std::string_view near = nearest(rule.cause, names);
    complain(files, rule, "no such cause: `" + rule.cause + "`",
             near.empty() ? string() : "did you mean `" + string(near) + "`?");
  }
}

/// `all` counts distinct texts; the others gain the forms in which logs show them.
void settle_texts(std::vector<Rule>& rules) {
  for (Rule& rule : rules) {
    classify::add_masked(rule.any);
    classify::add_masked(rule.with);
    classify::add_masked(rule.none);
    std::sort(rule.all.begin(), rule.all.end());
    rule.all.erase(std::unique(rule.all.begin(), rule.all.end()), rule.all.end());
  }
}

constexpr std::uint32_t kSuffixSeed = 2'166'136'261u;
/// FNV-1a, folded so that the low bits depend on all of them.
std::uint32_t suffix_hash(std::uint32_t hash, char c) {
  hash = (hash ^ static_cast<unsigned char>(c)) * 16'777'619u;
  return hash ^ (hash >> 15);
}

}  // namespace

void RuleSet::validate(RuleFiles& files) {
  check_ids(files);
  check_causes(files);
  check_rules_alone(files);
}

void RuleSet::add_causes(const std::vector<classify::CauseEntry>& entries,
                         const std::vector<string>& known) {
  std::unordered_map<string, std::uint16_t> numbers;
  const auto number_of = [&numbers](const string& id) {
    const auto next = static_cast<std::uint16_t>(kFirstCustomCause + numbers.size());
    return static_cast<Cause>(numbers.emplace(id, next).first->second);
  };
  for (const string& id : known) number_of(id);
  const auto add = [this](CauseInfo info) {
    cause_numbers_.emplace(info.id, info.cause);
    causes.push_back(std::move(info));
  };
  for (const classify::CauseEntry& entry : entries) {
    if (cause_numbers_.count(entry.info.id) != 0) continue;
    CauseInfo info = entry.info;
    info.cause = builtin_cause(info.id);
    if (info.cause == Cause::none) info.cause = number_of(info.id);
    add(std::move(info));
  }
  for (const string& id : known) {
    if (cause_numbers_.count(id) != 0) continue;
    CauseInfo gone;
    gone.id = id;
    gone.cause = number_of(id);
    gone.category_temporary = gone.category_permanent = Category::others;
    gone.meaning = "A cause of rules that are no longer loaded.";
    add(std::move(gone));
  }
  std::sort(causes.begin(), causes.end(),
            [](const CauseInfo& a, const CauseInfo& b) { return a.cause < b.cause; });
}

void RuleSet::number_causes() {
  const auto last = causes.empty() ? Cause::none : causes.back().cause;
  cause_index_.assign(std::max<std::size_t>(kBuiltinCauses, static_cast<std::size_t>(last) + 1), 0);
  for (std::size_t i = 0; i < causes.size(); ++i) {
    cause_numbers_.emplace(causes[i].id, causes[i].cause);
    cause_index_[static_cast<std::size_t>(causes[i].cause)] = static_cast<std::uint32_t>(i + 1);
  }
}

RuleSet::ProviderNumbers RuleSet::add_providers() {
  std::set<string> suffixes;
  for (const Rule& rule : rules_) suffixes.insert(rule.providers.begin(), rule.providers.end());
  ProviderNumbers numbers;
  provider_suffixes.add({});
  provider_parents.push_back(kNoProvider);
  for (const string& suffix : suffixes) {
    numbers.emplace(suffix, static_cast<ProviderId>(provider_suffixes.size()));
    provider_suffixes.add(suffix);
  }
  for (const string& suffix : suffixes) {
    // Longest known proper suffix, whole labels.
    ProviderId parent = kNoProvider;
    for (auto dot = suffix.find('.'); dot != string::npos; dot = suffix.find('.', dot + 1)) {
      const auto at = numbers.find(suffix.substr(dot + 1));
      if (at == numbers.end()) continue;
      parent = at->second;
      break;
    }
    provider_parents.push_back(parent);
  }
  index_suffixes();
  return numbers;
}

void RuleSet::add_suffix(std::string_view suffix, ProviderId provider) {
  std::uint32_t hash = kSuffixSeed;
  for (std::size_t i = suffix.size(); i > 0; --i) hash = suffix_hash(hash, suffix[i - 1]);
  const std::size_t mask = suffixes_.size() - 1;
  std::size_t at = hash & mask;
  while (suffixes_[at].used != 0) at = (at + 1) & mask;
  suffixes_[at] = {hash, provider, 1};
}

/// Every trailing run of labels of every suffix, so that a walk may stop at the first it misses.
void RuleSet::index_suffixes() {
  std::map<string, ProviderId> all;
  for (std::size_t i = 1; i < provider_suffixes.size(); ++i) {
    const string suffix(provider_suffixes[i]);
    for (auto dot = suffix.find('.'); dot != string::npos; dot = suffix.find('.', dot + 1)) {
      all.emplace(suffix.substr(dot + 1), kNoProvider);
    }
  }
  for (std::size_t i = 1; i < provider_suffixes.size(); ++i) {
    all[string(provider_suffixes[i])] = static_cast<ProviderId>(i);
  }
  std::size_t slots = 64;
  while (slots < all.size() * 4) slots *= 2;
  suffixes_.assign(slots, {});
  for (const auto& [suffix, provider] : all) add_suffix(suffix, provider);
}

/// Walks from the right and asks at each dot. Most names are done after their last two labels.
RuleSet::ProviderId RuleSet::provider_of(std::string_view name) const {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  ProviderId best = kNoProvider;
  std::uint32_t hash = kSuffixSeed;
  const std::size_t mask = suffixes_.size() - 1;
  for (std::size_t from = name.size(); from > 0;) {
    const char c = name[--from];
    if (c != '.') hash = suffix_hash(hash, ascii_lower(c));
    if (c != '.' && from != 0) continue;
    const std::string_view suffix = name.substr(c == '.' ? from + 1 : 0);
    bool goes_on = false;
    for (std::size_t at = hash & mask; suffixes_[at].used != 0; at = (at + 1) & mask) {
      const SuffixSlot& slot = suffixes_[at];
      if (slot.hash != hash) continue;
      goes_on = true;
      if (slot.provider != kNoProvider && iequals(suffix, provider_suffixes[slot.provider])) {
        best = slot.provider;
      }
    }
    if (!goes_on) break;
    hash = suffix_hash(hash, '.');
  }
  return best;
}

namespace {
/// By pattern: 1 + its bit among the guards, 0 = none. The most shared ones get the bits.
std::vector<std::uint16_t> choose_guards(const std::vector<std::uint32_t>& not_uses) {
  constexpr std::uint32_t kUsesMin = 3;
  std::vector<std::uint32_t> order;
  for (std::uint32_t p = 0; p < not_uses.size(); ++p) {
    if (not_uses[p] >= kUsesMin) order.push_back(p);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return not_uses[a] > not_uses[b]; });
  if (order.size() > RuleSet::kGuards) order.resize(RuleSet::kGuards);
  std::vector<std::uint16_t> guards(not_uses.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    guards[order[i]] = static_cast<std::uint16_t>(i + 1);
  return guards;
}
}  // namespace

classify::Patterns RuleSet::add_patterns() {
  classify::Patterns texts;
  std::unordered_map<string, std::uint32_t> numbers;
  const auto add = [&](const string& text, std::vector<string>& list) {
    const auto [at, added] = numbers.emplace(text, static_cast<std::uint32_t>(list.size()));
    if (added) list.push_back(text);
    return at->second;
  };
  std::vector<Pending> pending;
  for (std::uint32_t r = 0; r < rules_.size(); ++r) {
    const Rule& rule = rules_[r];
    std::uint32_t& wanted = compiled[r].wanted;
    if (!rule.any.empty() || !rule.regex.empty()) wanted = add_use(wanted, Use::any);
    if (!rule.with.empty()) wanted = add_use(wanted, Use::with);
    for (std::size_t i = 0; i < rule.all.size(); ++i) wanted = add_use(wanted, Use::all);
    for (const auto& [list, use] :
         {std::pair{&rule.any, Use::any}, std::pair{&rule.with, Use::with},
          std::pair{&rule.all, Use::all}, std::pair{&rule.none, Use::none}}) {
      for (const string& t : *list) pending.push_back({add(t, texts.literals), {r, use}, false});
    }
  }
  numbers.clear();
  for (std::uint32_t r = 0; r < rules_.size(); ++r) {
    for (const string& t : rules_[r].regex) {
      pending.push_back({add(t, texts.regexes), {r, Use::any}, true});
    }
  }
  literals = static_cast<std::uint32_t>(texts.literals.size());
  for (Pending& p : pending) p.pattern += p.regex ? literals : 0;
  for (const string& literal : texts.literals) {
    pattern_texts.add(literal);
    patterns.push_back({{}, static_cast<std::uint32_t>(literal.size()), 0, 0});
  }
  for (const string& regex : texts.regexes) {
    unsigned width = 0;
    classify::regex_error(regex, width);
    pattern_texts.add(regex);
    patterns.push_back({{}, width, 0, 0});
  }
  refer(std::move(pending));
  return texts;
}

/// Tells every pattern which rules use it, and how.
void RuleSet::refer(std::vector<Pending> pending) {
  std::stable_sort(pending.begin(), pending.end(),
                   [](const Pending& a, const Pending& b) { return a.pattern < b.pattern; });
  std::vector<std::uint32_t> not_uses(pattern_texts.size());
  for (const Pending& p : pending) not_uses[p.pattern] += p.reference.use == Use::none ? 1 : 0;
  const std::vector<std::uint16_t> guard_of = choose_guards(not_uses);
  for (const Pending& p : pending) {
    Pattern& pattern = patterns[p.pattern];
    pattern.guard = guard_of[p.pattern];
    if (pattern.guard != 0 && p.reference.use == Use::none) {
      const unsigned bit = pattern.guard - 1u;
      compiled[p.reference.rule].guards[bit / 64] |= std::uint64_t{1} << (bit % 64);
      continue;
    }
    if (p.reference.use == Use::all) pattern.counted = 1;
    if (pattern.uses.size++ == 0) {
      pattern.uses.begin = static_cast<std::uint32_t>(references.size());
    }
    references.push_back(p.reference);
  }
}

void RuleSet::rank_rules(const ProviderNumbers& numbers) {
  const auto append = [](auto& list, const auto& more) {
    const Range range{static_cast<std::uint32_t>(list.size()),
                      static_cast<std::uint32_t>(more.size())};
    list.insert(list.end(), more.begin(), more.end());
    return range;
  };
  for (std::uint32_t r = 0; r < rules_.size(); ++r) {
    const Rule& rule = rules_[r];
    Compiled& c = compiled[r];
    c.cause = cause_numbers_.at(rule.cause);
    c.severity = rule.severity;
    c.confidence = rule.confidence;
    c.smtp = append(smtp, rule.smtp);
    c.enhanced = append(enhanced, rule.enhanced);
    c.phases = append(phases, rule.phases);
    c.kinds = append(kinds, rule.kinds);
    std::vector<ProviderId> providers;
    for (const string& suffix : rule.providers) providers.push_back(numbers.at(suffix));
    c.providers = append(rule_providers, providers);
    c.rank = rule.precedence * kOperatorRank | (rule.providers.empty() ? 0u : kProviderRank) |
             (rule.has_text() ? kTextRank : 0u) | rule.predicates();
    if (!rule.has_text()) code_rules.push_back(r);
    rule_ids.add(rule.id);
  }
}

void RuleSet::hash_contents() {
  string all;
  const auto add = [&](const auto& list) {
    for (const string& text : list) all += text + '\n';
    all += '\x01';
  };
  for (const CauseInfo& info : causes) {
    all += info.id + '\n';
    for (const int value :
         {static_cast<int>(info.cause), static_cast<int>(info.bounce_class),
          static_cast<int>(info.fault), static_cast<int>(info.category_temporary),
          static_cast<int>(info.category_permanent), int{info.temporary_by_nature}}) {
      all += std::to_string(value) + ' ';
    }
  }
  for (std::uint32_t r = 0; r < rules_.size(); ++r) {
    const Rule& rule = rules_[r];
    all += '\x02' + rule.id + '\n' + rule.cause + '\n' + std::to_string(rule.confidence) + ' ' +
           std::to_string(static_cast<int>(rule.severity)) + ' ' + std::to_string(compiled[r].rank);
    add(rule.any), add(rule.with), add(rule.all), add(rule.none), add(rule.regex),
        add(rule.providers);
    for (const auto& p : rule.smtp)
      all += std::to_string(p.low) + '-' + std::to_string(p.high) + ' ';
    for (const auto& p : rule.enhanced) {
      all += std::to_string(p.klass) + '.' + std::to_string(p.subject) + '.' +
             std::to_string(p.detail) + ' ';
    }
    for (const Phase p : rule.phases) all += "p" + std::to_string(static_cast<int>(p));
    for (const EventKind k : rule.kinds) all += "k" + std::to_string(static_cast<int>(k));
  }
  generation = static_cast<std::uint32_t>(hash64(all, learned.fingerprint()));
  if (generation == 0) generation = 1;
}

Result<std::shared_ptr<const RuleSet>> RuleSet::build(RuleFiles files, const string& cache_dir,
                                                      classify::Target target) {
  auto set = std::make_shared<RuleSet>();
  set->rules_ = std::move(files.rules);
  settle_texts(set->rules_);
  set->compiled.resize(set->rules_.size());
  set->add_causes(files.causes, files.known_causes);
  set->number_causes();
  const ProviderNumbers providers = set->add_providers();
  const classify::Patterns patterns = set->add_patterns();
  set->phrases = classify::Phrases(patterns.literals);
  set->telling = std::make_unique<const classify::TellingDigits>(patterns);
  set->rank_rules(providers);
  bool usable = false;
  const std::shared_ptr<RuleSet> built_in = read_image(rule_image(), usable);
  if (!files.learned.empty()) {
    set->learned = std::move(files.learned);
  } else if (files.with_words && built_in != nullptr) {
    set->learned = std::move(built_in->learned);
  }
  set->hash_contents();
  std::size_t known_size = 0;
  classify::HsDatabase known;
  if (target == classify::Target::this_cpu && built_in != nullptr && usable) {
    known = known_literals(*built_in, patterns.literals, known_size);
  }
  auto databases =
      classify::make_databases(patterns, cache_dir, target, std::move(known), known_size);
  if (!databases) return tl::unexpected<Error>(databases.error());
  set->databases = std::move(*databases);
  return std::shared_ptr<const RuleSet>(std::move(set));
}

const std::vector<Rule>& RuleSet::rules() const {
  std::call_once(read_, [this] {
    if (!read_later_) return;
    if (auto files = classify::read_rule_files({})) rules_ = std::move(files->rules);
    settle_texts(rules_);
    rules_.resize(rule_count());
  });
  return rules_;
}

const CauseInfo& RuleSet::info(Cause cause) const {
  static const CauseInfo nothing;
  const auto n = static_cast<std::size_t>(cause);
  const std::uint32_t index = n < cause_index_.size() ? cause_index_[n] : 0;
  return index == 0 ? nothing : causes[index - 1];
}

/// Severity: the rule's word, else temporary when the server said so or the cause is so by nature.
/// A cause that is hard is only soft while the server says "temporarily": it may work later.
Verdict RuleSet::verdict(Cause cause, Severity said, Severity override_, std::uint8_t confidence,
                         RuleId rule) const {
  const CauseInfo& row = info(cause);
  Verdict v;
  v.cause = cause;
  v.said = said;
  v.severity = override_ != Severity::none                              ? override_
               : said == Severity::temporary || row.temporary_by_nature ? Severity::temporary
                                                                        : Severity::permanent;
  v.bounce_class = row.bounce_class == BounceClass::hard && v.severity == Severity::temporary
                       ? BounceClass::soft
                       : row.bounce_class;
  // A 4xx never shows a category of the permanent column, whatever a rule believes.
  v.category = v.severity == Severity::temporary || said == Severity::temporary
                   ? row.category_temporary
                   : row.category_permanent;
  v.fault = row.fault;
  v.confidence = confidence;
  v.rule = rule;
  v.generation = generation;
  return v;
}

RuleId RuleSet::learned_rule(Cause cause) const {
  return static_cast<RuleId>(rule_count() + 1 + classify::code_rows()) + static_cast<RuleId>(cause);
}

namespace {

std::string_view learned_name(std::uint32_t cause) {
  static const std::vector<string> names = [] {
    std::vector<string> all;
    for (std::uint16_t c = 0; c < kBuiltinCauses; ++c) {
      all.push_back("learned/" + string(builtin_cause_id(Cause{c})));
    }
    return all;
  }();
  return cause < names.size() ? std::string_view(names[cause]) : std::string_view();
}

}  // namespace

// --- public functions -------------------------------------------------------------------------

Result<std::shared_ptr<const RuleSet>> load_rules(const RuleSetOptions& options) {
  if (options.rules_dir.empty() && options.operator_dirs.empty() && options.known_causes.empty()) {
    auto built_in = RuleSet::from_image(rule_image(), options.cache_dir);
    if (!built_in || *built_in != nullptr) return built_in;
  }
  auto files = classify::read_rule_files(options);
  if (!files) return tl::unexpected<Error>(files.error());
  RuleSet::validate(*files);
  if (auto error = classify::first_error(files->problems)) return tl::unexpected<Error>(*error);
  return RuleSet::build(std::move(*files), options.cache_dir);
}

std::string_view rule_name(const RuleSet& rules, RuleId rule) {
  if (rule == kNoRule) return {};
  if (rule <= rules.rule_count()) return rules.rule_ids[rule - 1];
  if (rules.is_learned(rule)) return learned_name(rule - rules.learned_rule(Cause::none));
  const auto row = static_cast<std::uint32_t>(rule - 1 - rules.rule_count());
  return row < classify::code_rows() ? classify::code_row(row).name : std::string_view{};
}
const CauseInfo& cause_info(const RuleSet& rules, Cause cause) {
  return rules.info(cause);
}
std::string_view cause_id(const RuleSet& rules, Cause cause) {
  return rules.info(cause).id;
}
Cause find_cause(const RuleSet& rules, std::string_view id) {
  const auto at = rules.cause_numbers_.find(string(id));
  return at == rules.cause_numbers_.end() ? Cause::none : at->second;
}
std::vector<CauseInfo> causes(const RuleSet& rules) {
  return rules.causes;
}
std::uint32_t generation(const RuleSet& rules) {
  return rules.generation;
}
Verdict verdict_of(const RuleSet& rules, Cause cause, Severity said, std::uint8_t confidence) {
  return rules.verdict(cause, said, Severity::none, confidence, kNoRule);
}

}  // namespace bounced
