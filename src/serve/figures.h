// Figures in the text format that Prometheus reads.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace bounced::serve {

/// One value of a metric; those of one name stand together.
struct Figure {
  std::string name;  ///< "bounced_events_total"
  std::string help;
  bool counter = true;  ///< else a gauge
  double value = 0;
  std::vector<std::pair<std::string, std::string>> labels;
};

std::string prometheus_text(const std::vector<Figure>& figures);

}  // namespace bounced::serve
