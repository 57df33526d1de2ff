#include "serve/figures.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace bounced::serve {

std::string prometheus_text(const std::vector<Figure>& figures) {
  std::vector<prometheus::MetricFamily> families;
  for (const Figure& figure : figures) {
    if (families.empty() || families.back().name != figure.name) {
      prometheus::MetricFamily family;
      family.name = figure.name;
      family.help = figure.help;
      family.type =
          figure.counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
      families.push_back(std::move(family));
    }
    prometheus::ClientMetric metric;
    for (const auto& [name, value] : figure.labels) metric.label.push_back({name, value});
    (figure.counter ? metric.counter.value : metric.gauge.value) = figure.value;
    families.back().metric.push_back(std::move(metric));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace bounced::serve
