// Learning what words weigh, from replies whose causes are known. Runs during the build.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bounced/classifier.h"
#include "bounced/result.h"
#include "classify/learned.h"

namespace bounced::classify {

/// A reply and what it means. Owns its text, which need not be normalised.
struct Lesson {
  std::string diagnostic;
  std::uint16_t smtp_code = 0;
  EnhancedCode enhanced;
  Phase phase = Phase::none;
  EventKind kind = EventKind::bounced;
  Cause cause = Cause::none;
  Ruled ruled;  ///< by the rules alone
};

/// Multinomial logistic regression over the features of all lessons (AdaGrad, decayed weights,
/// dropout), the mean of several, rounded to sixteenths. Uses several threads. The same lessons in
/// the same order make the same model.
Learned learn(const std::vector<Lesson>& lessons, const Concepts& concepts);

/// A line of a table of concepts: words with blanks between them; one that ends in `*` stands for
/// all that begin so. `name`: of the concept, or of two with a blank between them. Appends to
/// `out`; `names` are those met so far. Error{data} names a word that is none, not one, or in two
/// rows.
Result<void> read_concept(std::string_view name, std::string_view words,
                          std::vector<std::string>& names, std::vector<Concepts::Entry>& out);

}  // namespace bounced::classify
