// Images of rule sets: what build() made, as plain bytes in the order of one walk.
#include <cstring>
#include <type_traits>

#include "classify/rule_set.h"

namespace bounced {
namespace {

/// Raise the number with any change of what is walked over: an image of before is then no image.
constexpr std::string_view kMagic = "bounced-rules-8\n";

class Writer {
 public:
  template <class T>
  void value(const T& value) {
    static_assert(std::has_unique_object_representations_v<T>, "padding would be written");
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view text) {
    value(std::uint64_t{text.size()});
    out_ += text;
  }
  template <class T>
  void list(const std::vector<T>& list) {
    static_assert(std::has_unique_object_representations_v<T>, "padding would be written");
    text({reinterpret_cast<const char*>(list.data()), list.size() * sizeof(T)});
  }
  template <class T, class Each>
  void each(const std::vector<T>& list, Each visit) {
    value(std::uint64_t{list.size()});
    for (const T& item : list) visit(item);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

/// Reads what Writer wrote. Past the end everything is empty, and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}
  template <class T>
  void value(T& value) {
    const std::string_view bytes = take(sizeof value);
    if (bytes.size() == sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  }
  std::string_view view() {
    std::uint64_t size = 0;
    value(size);
    return take(size);
  }
  void text(std::string& text) { text = view(); }
  template <class T>
  void list(std::vector<T>& list) {
    const std::string_view bytes = view();
    list.resize(bytes.size() / sizeof(T));
    if (!list.empty()) std::memcpy(list.data(), bytes.data(), list.size() * sizeof(T));
  }
  template <class T, class Each>
  void each(std::vector<T>& list, Each visit) {
    std::uint64_t size = 0;
    value(size);
    if (size > left_.size()) return fail();
    list.resize(size);
    for (T& item : list) visit(item);
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  std::string_view take(std::uint64_t size) {
    if (size > left_.size()) {
      fail();
      return {};
    }
    const std::string_view bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }
  void fail() {
    ok_ = false;
    left_ = {};
  }

  std::string_view left_;
  bool ok_ = true;
};

template <class Info, class Walk>
void walk_cause(Info& info, Walk& walk) {
  walk.value(info.cause);
  walk.value(info.bounce_class);
  walk.value(info.fault);
  walk.value(info.category_temporary);
  walk.value(info.category_permanent);
  walk.value(info.temporary_by_nature);
  walk.text(info.id);
  walk.text(info.meaning);
  walk.text(info.advice);
}

template <class Facts, class Walk>
void walk_telling(Facts& facts, Walk& walk) {
  walk.value(facts.all);
  walk.value(facts.neutral);
  walk.list(facts.runs);
}

}  // namespace

template <class Set, class Walk>
void RuleSet::walk_image(Set& set, Walk& walk) {
  walk.value(set.generation);
  walk.value(set.literals);
  walk.list(set.compiled);
  walk.list(set.smtp);
  walk.list(set.enhanced);
  walk.list(set.phases);
  walk.list(set.kinds);
  walk.list(set.rule_providers);
  walk.list(set.code_rules);
  walk.list(set.patterns);
  walk.list(set.references);
  walk.list(set.provider_parents);
  walk.list(set.suffixes_);
  for (auto* texts : {&set.rule_ids, &set.pattern_texts, &set.provider_suffixes}) {
    classify::Texts::walk(*texts, walk);
  }
  classify::Phrases::walk(set.phrases, walk);
  classify::Learned::walk(set.learned, walk);
  walk.each(set.causes, [&](auto& info) { walk_cause(info, walk); });
}

std::string RuleSet::image() const {
  Writer out;
  out.text(kMagic);
  walk_image(*this, out);
  walk_telling(telling->facts(), out);
  for (const hs_database_t* database : {databases.literals.get(), databases.regexes.get()}) {
    std::string bytes;
    if (!classify::serialise(database, bytes)) return {};
    out.text(bytes);
  }
  return out.take();
}

/// `usable`: this Hyperscan can use its databases.
std::shared_ptr<RuleSet> RuleSet::read_image(std::string_view image, bool& usable) {
  Reader in(image);
  if (in.view() != kMagic) return {};
  auto set = std::make_shared<RuleSet>();
  set->read_later_ = true;
  walk_image(*set, in);
  classify::TellingDigits::Facts facts;
  walk_telling(facts, in);
  usable = true;
  for (auto* database : {&set->databases.literals, &set->databases.regexes}) {
    const std::string_view bytes = in.view();
    *database = classify::deserialise(bytes);
    usable = usable && bytes.empty() == (*database == nullptr);
  }
  if (!in.ok()) return {};
  set->telling = std::make_unique<const classify::TellingDigits>(std::move(facts));
  set->number_causes();
  return set;
}

/// The image's database of literals, where those are the first ones of `literals`: an operator's
/// rules stand behind the built-in ones, and only they need compiling. `size`: how many they are.
classify::HsDatabase RuleSet::known_literals(RuleSet& built_in,
                                             const std::vector<std::string>& literals,
                                             std::size_t& size) {
  size = 0;
  if (built_in.literals > literals.size()) return {};
  for (std::uint32_t i = 0; i < built_in.literals; ++i) {
    if (built_in.pattern_texts[i] != literals[i]) return {};
  }
  size = built_in.literals;
  return std::move(built_in.databases.literals);
}

Result<std::shared_ptr<const RuleSet>> RuleSet::from_image(std::string_view image,
                                                           const std::string& cache_dir) {
  bool usable = false;
  const std::shared_ptr<RuleSet> set = read_image(image, usable);
  if (set == nullptr) return std::shared_ptr<const RuleSet>();
  if (usable) return std::shared_ptr<const RuleSet>(set);
  // Another Hyperscan than the one we were built with.
  classify::Patterns texts;
  for (std::uint32_t i = 0; i < set->pattern_texts.size(); ++i) {
    (set->is_regex(i) ? texts.regexes : texts.literals).emplace_back(set->pattern_texts[i]);
  }
  auto databases = classify::make_databases(texts, cache_dir);
  if (!databases) return tl::unexpected<Error>(databases.error());
  set->databases = std::move(*databases);
  return std::shared_ptr<const RuleSet>(set);
}

}  // namespace bounced
