#include "classify/learn.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "classify/normalise.h"
#include "classify/reply.h"

namespace bounced::classify {
namespace {

/// Chosen by what they make of replies that were not learned (`bounced-judge --folds`).
/// So many are learned, each in another order and with other things left out; the mean of them errs
/// less often than any.
constexpr unsigned kModels = 8;
constexpr int kRounds = 16, kSettled = 8;  ///< the mean of what weights are after the last rounds
constexpr float kRate = 0.15f, kDecay = 2.5e-4f, kSmallest = 1e-4f;
/// Of what words tell in an example, so many in a hundred features are left out each time: what is
/// learned must not hang on one word that the next server says otherwise. Codes and rules stay.
constexpr unsigned kDropped = 40;
/// Features that come less often are left out: they would only know one reply again.
constexpr unsigned kLeast = 2;

using Lanes = std::array<float, Learned::kLanes>;

struct Example {
  std::vector<std::uint32_t> words, others;  ///< numbers of its features
  std::uint16_t cause = 0;
};

/// The lessons' features by number, and the hash of each number.
struct Examples {
  std::vector<Example> list;
  std::vector<std::uint32_t> hashes;
};

/// A feature of a lesson.
struct Told {
  std::uint32_t hash = 0;
  bool of_words = false;
};

std::vector<std::vector<Told>> hashes_of(const std::vector<Lesson>& lessons,
                                         const Concepts& concepts) {
  std::vector<std::vector<Told>> all;
  Normaliser normaliser;
  Normalised normalised;
  Features features;
  std::vector<Feature> list;
  for (const Lesson& lesson : lessons) {
    Failure failure;
    failure.diagnostic = lesson.diagnostic;
    failure.smtp_code = lesson.smtp_code;
    failure.enhanced = lesson.enhanced;
    failure.phase = lesson.phase;
    failure.kind = lesson.kind;
    normaliser.run(failure.diagnostic, failure.smtp_code, normalised);
    Reply reply = reply_of(failure, normalised);
    reply.ruled = lesson.ruled;
    features.read(reply);
    features.all(concepts, list);
    std::vector<Told>& mine = all.emplace_back();
    for (const Feature& feature : list) mine.push_back({feature.hash, feature.of_words()});
  }
  return all;
}

Examples examples_of(const std::vector<Lesson>& lessons, const Concepts& concepts) {
  const auto hashes = hashes_of(lessons, concepts);
  std::unordered_map<std::uint32_t, unsigned> seen;
  for (const std::vector<Told>& told : hashes) {
    std::unordered_set<std::uint32_t> mine;
    for (const Told& feature : told) seen[feature.hash] += mine.insert(feature.hash).second;
  }
  Examples examples;
  std::unordered_map<std::uint32_t, std::uint32_t> numbers;
  for (std::size_t i = 0; i < lessons.size(); ++i) {
    Example& example = examples.list.emplace_back();
    example.cause = static_cast<std::uint16_t>(lessons[i].cause);
    for (const auto& [hash, of_words] : hashes[i]) {
      if (seen[hash] < kLeast) continue;
      const auto [at, fresh] =
          numbers.try_emplace(hash, static_cast<std::uint32_t>(numbers.size()));
      if (fresh) examples.hashes.push_back(hash);
      (of_words ? example.words : example.others).push_back(at->second);
    }
  }
  return examples;
}

/// AdaGrad's step (Duchi et al., 2011) by the slopes of one example. Lanes of no cause have none.
void descend(Lanes& weights, Lanes& sums, const Lanes& slopes) {
#if defined(__SSE2__)
  const __m128 decay = _mm_set1_ps(kDecay), rate = _mm_set1_ps(kRate),
               smallest = _mm_set1_ps(kSmallest), sign = _mm_set1_ps(-0.0f);
  for (std::size_t c = 0; c < weights.size(); c += 4) {
    const __m128 weight = _mm_loadu_ps(&weights[c]);
    const __m128 slope = _mm_add_ps(_mm_loadu_ps(&slopes[c]), _mm_mul_ps(decay, weight));
    const __m128 counts = _mm_cmpge_ps(_mm_andnot_ps(sign, slope), smallest);
    const __m128 sum =
        _mm_add_ps(_mm_loadu_ps(&sums[c]), _mm_and_ps(counts, _mm_mul_ps(slope, slope)));
    const __m128 step = _mm_div_ps(_mm_mul_ps(rate, slope), _mm_sqrt_ps(sum));
    _mm_storeu_ps(&sums[c], sum);
    _mm_storeu_ps(&weights[c], _mm_sub_ps(weight, _mm_and_ps(counts, step)));
  }
#else
  for (std::size_t c = 0; c < weights.size(); ++c) {
    const float slope = slopes[c] + kDecay * weights[c];
    if (std::fabs(slope) < kSmallest) continue;
    sums[c] += slope * slope;
    weights[c] -= kRate * slope / std::sqrt(sums[c]);
  }
#endif
}

/// Weights, the sums of the squares of all slopes so far, and the totals of kept weights, by
/// feature.
class Regression {
 public:
  explicit Regression(std::size_t features)
      : weights_(features), sums_(features), totals_(features) {
    for (Lanes& lanes : sums_) lanes.fill(1e-6f);
  }

  void step(const Example& example, std::mt19937& random) {
    features_ = example.others;
    for (const std::uint32_t feature : example.words) {
      if (random() % 100 >= kDropped) features_.push_back(feature);
    }
    Lanes slopes = chances();
    slopes[example.cause] -= 1;
    for (const std::uint32_t feature : features_)
      descend(weights_[feature], sums_[feature], slopes);
  }
  /// Takes the weights as they are now into the total.
  void keep() {
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      for (std::size_t c = 1; c < kBuiltinCauses; ++c) totals_[i][c] += weights_[i][c];
    }
  }
  [[nodiscard]] const Lanes& total(std::size_t feature) const { return totals_[feature]; }

 private:
  /// What the words say so far: how likely each cause is.
  [[nodiscard]] Lanes chances() const {
    Lanes chances{};
    for (const std::uint32_t feature : features_) {
      for (std::size_t c = 1; c < kBuiltinCauses; ++c) chances[c] += weights_[feature][c];
    }
    const float most = *std::max_element(chances.begin() + 1, chances.begin() + kBuiltinCauses);
    float sum = 0;
    for (std::size_t c = 1; c < kBuiltinCauses; ++c) {
      chances[c] = std::exp(chances[c] - most);
      sum += chances[c];
    }
    for (float& chance : chances) chance /= sum;
    return chances;
  }

  std::vector<Lanes> weights_, sums_, totals_;
  std::vector<std::uint32_t> features_;  ///< of the example, without those that are dropped
};

/// Fisher-Yates with a generator that the standard defines: std::shuffle's order is anybody's.
void shuffle(std::vector<std::uint32_t>& order, std::mt19937& random) {
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
}

void run_rounds(Regression& model, const std::vector<Example>& examples, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint32_t> order(examples.size());
  std::iota(order.begin(), order.end(), 0u);
  for (int round = 0; round < kRounds; ++round) {
    shuffle(order, random);
    for (const std::uint32_t i : order) model.step(examples[i], random);
    if (round >= kSettled) model.keep();
  }
}

/// The mean of what all models kept, in sixteenths.
Learned::Row row_of(const std::vector<Regression>& models, std::size_t feature) {
  constexpr auto kKept = static_cast<float>(kModels * (kRounds - kSettled));
  Learned::Row row{};
  for (std::size_t c = 1; c < kBuiltinCauses; ++c) {
    float total = 0;
    for (const Regression& model : models) total += model.total(feature)[c];
    row[c] = static_cast<std::int8_t>(std::clamp(std::lround(total / kKept * 16), -127l, 127l));
  }
  return row;
}

/// What stands between blanks.
std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; (at = text.find_first_not_of(" \n", at)) != std::string_view::npos;) {
    const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace

Learned learn(const std::vector<Lesson>& lessons, const Concepts& concepts) {
  const Examples examples = examples_of(lessons, concepts);
  std::vector<Regression> models(kModels, Regression(examples.hashes.size()));
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < kModels; ++i) {
      threads.emplace_back([&, i] { run_rounds(models[i], examples.list, i + 1); });
    }
  }
  std::vector<std::pair<std::uint32_t, Learned::Row>> rows;
  for (std::size_t i = 0; i < examples.hashes.size(); ++i) {
    const Learned::Row row = row_of(models, i);
    if (row != Learned::Row{}) rows.emplace_back(examples.hashes[i], row);
  }
  return {rows, concepts};
}

Result<void> read_concept(std::string_view name, std::string_view words,
                          std::vector<std::string>& names, std::vector<Concepts::Entry>& out) {
  const auto wrong = [&](std::string_view what, const char* why) {
    return fail(ErrorCode::data, "read concept", std::string(name), std::string(what) + why);
  };
  Concepts::Meaning meaning{};
  std::size_t parts = 0;
  for (const std::string_view part : words_of(name)) {
    if (parts == meaning.size()) return wrong(name, ": more than two");
    auto known = std::find(names.begin(), names.end(), part);
    if (known == names.end()) known = names.emplace(known, part);
    if (names.size() > UINT8_MAX) return wrong(name, ": too many concepts");
    meaning[parts++] = static_cast<std::uint8_t>(known - names.begin() + 1);
  }
  Normaliser normaliser;
  Normalised normalised;
  Features features;
  for (std::string_view text : words_of(words)) {
    const bool beginning = text.back() == '*';
    if (beginning) text.remove_suffix(1);
    normaliser.run(text, 0, normalised);
    Reply reply;
    reply.text = normalised.text;
    features.read(reply);
    if (features.words().size() != 1) return wrong(text, ": is not one word");
    const Word& word = features.word(features.words().front());
    if (word.bytes[0] == '{') return wrong(text, ": is taken for what varies");
    const auto same = std::find_if(out.begin(), out.end(), [&](const Concepts::Entry& other) {
      return other.beginning == beginning && other.word == word;
    });
    if (same == out.end()) {
      out.push_back({word, beginning, meaning});
    } else if (same->meaning != meaning) {
      return wrong(text, ": has another meaning in another row");
    }
  }
  return {};
}

}  // namespace bounced::classify
