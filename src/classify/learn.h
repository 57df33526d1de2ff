// Learning what words weigh, from replies whose causes are known. Runs during the build.
#pragma once

#include <string>
#include <vector>

#include "bounced/classifier.h"
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

/// Multinomial logistic regression over the features of all lessons (AdaGrad, decayed weights),
/// rounded to sixteenths. The same lessons in the same order make the same model.
Learned learn(const std::vector<Lesson>& lessons);

}  // namespace bounced::classify
