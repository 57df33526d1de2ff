#include "classify/learn.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <unordered_map>

#include "classify/normalise.h"
#include "classify/reply.h"

namespace bounced::classify {
namespace {

/// Chosen by what they make of replies that were not learned (`bounced-judge --folds`).
constexpr int kRounds = 16, kSettled = 8;  ///< the mean of what weights are after the last rounds
constexpr float kRate = 0.15f, kDecay = 2.5e-4f, kSmallest = 1e-4f;
/// Features that come less often are left out: they would only know one reply again.
constexpr unsigned kLeast = 2;

using Lanes = std::array<float, Learned::kLanes>;

struct Example {
  std::vector<std::uint32_t> features;  ///< numbers
  std::uint16_t cause = 0;
};

/// The lessons' features by number, and the hash of each number.
struct Examples {
  std::vector<Example> list;
  std::vector<std::uint32_t> hashes;
};

std::vector<std::vector<std::uint32_t>> hashes_of(const std::vector<Lesson>& lessons) {
  std::vector<std::vector<std::uint32_t>> all;
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
    features.all(list);
    std::vector<std::uint32_t>& mine = all.emplace_back();
    for (const Feature& feature : list) mine.push_back(feature.hash);
  }
  return all;
}

Examples examples_of(const std::vector<Lesson>& lessons) {
  const auto hashes = hashes_of(lessons);
  std::unordered_map<std::uint32_t, unsigned> seen;
  for (auto mine : hashes) {
    std::sort(mine.begin(), mine.end());
    mine.erase(std::unique(mine.begin(), mine.end()), mine.end());
    for (const std::uint32_t hash : mine) ++seen[hash];
  }
  Examples examples;
  std::unordered_map<std::uint32_t, std::uint32_t> numbers;
  for (std::size_t i = 0; i < lessons.size(); ++i) {
    Example& example = examples.list.emplace_back();
    example.cause = static_cast<std::uint16_t>(lessons[i].cause);
    for (const std::uint32_t hash : hashes[i]) {
      if (seen[hash] < kLeast) continue;
      const auto [at, fresh] =
          numbers.try_emplace(hash, static_cast<std::uint32_t>(numbers.size()));
      if (fresh) examples.hashes.push_back(hash);
      example.features.push_back(at->second);
    }
  }
  return examples;
}

/// Weights, the sums of the squares of all slopes so far, and the totals of kept weights, by
/// feature.
class Regression {
 public:
  explicit Regression(std::size_t features)
      : weights_(features), sums_(features), totals_(features) {
    for (Lanes& lanes : sums_) lanes.fill(1e-6f);
  }

  void step(const Example& example) {
    Lanes slopes = chances(example);
    slopes[example.cause] -= 1;
    for (const std::uint32_t feature : example.features) {
      Lanes& weights = weights_[feature];
      Lanes& sums = sums_[feature];
      for (std::size_t c = 1; c < kBuiltinCauses; ++c) {
        const float slope = slopes[c] + kDecay * weights[c];
        if (std::fabs(slope) < kSmallest) continue;
        sums[c] += slope * slope;
        weights[c] -= kRate * slope / std::sqrt(sums[c]);
      }
    }
  }
  /// Takes the weights as they are now into the mean.
  void keep() {
    ++kept_;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      for (std::size_t c = 1; c < kBuiltinCauses; ++c) totals_[i][c] += weights_[i][c];
    }
  }
  [[nodiscard]] Learned::Row row(std::size_t feature) const {
    Learned::Row row{};
    for (std::size_t c = 1; c < kBuiltinCauses; ++c) {
      const long value = std::lround(totals_[feature][c] / static_cast<float>(kept_) * 16);
      row[c] = static_cast<std::int8_t>(std::clamp(value, -127l, 127l));
    }
    return row;
  }

 private:
  /// What the words say so far: how likely each cause is.
  [[nodiscard]] Lanes chances(const Example& example) const {
    Lanes chances{};
    for (const std::uint32_t feature : example.features) {
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
  int kept_ = 0;
};

/// Fisher-Yates with a generator that the standard defines: std::shuffle's order is anybody's.
void shuffle(std::vector<std::uint32_t>& order, std::mt19937& random) {
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
}

}  // namespace

Learned learn(const std::vector<Lesson>& lessons) {
  const Examples examples = examples_of(lessons);
  Regression regression(examples.hashes.size());
  std::mt19937 random(1);
  std::vector<std::uint32_t> order(examples.list.size());
  std::iota(order.begin(), order.end(), 0u);
  for (int round = 0; round < kRounds; ++round) {
    shuffle(order, random);
    for (const std::uint32_t i : order) regression.step(examples.list[i]);
    if (round >= kSettled) regression.keep();
  }
  std::vector<std::pair<std::uint32_t, Learned::Row>> rows;
  for (std::size_t i = 0; i < examples.hashes.size(); ++i) {
    const Learned::Row row = regression.row(i);
    if (row != Learned::Row{}) rows.emplace_back(examples.hashes[i], row);
  }
  return Learned(rows);
}

}  // namespace bounced::classify
