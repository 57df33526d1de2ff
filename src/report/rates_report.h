// Report of rates: who got how much, how much of it failed, and why.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"
#include "rates/rates.h"
#include "report/format.h"

namespace bounced::report {

enum class Grouping : std::uint8_t {
  cause,
  category,
  domain,
  sender,
  campaign,
  hour,
  stream,
  tenant,
  mta
};
std::string_view to_string(Grouping by);
bool from_string(std::string_view text, Grouping& out);

struct RatesQuery {
  Grouping by = Grouping::cause;
  std::int64_t from_us = 0;        ///< whole hours: the hour that holds it is counted
  std::int64_t to_us = INT64_MAX;  ///< exclusive; the hour that holds its last instant is counted
  std::size_t top = 20;            ///< rows by name; what is left goes to `other`. 0 = all
  double warn_bounce_percent[3] = {2, 3, 5};
  double complaint_warn_percent = 0.1;
  double complaint_act_percent = 0.3;
};

struct RatesLine {
  std::string
      name;  ///< "mailbox.unknown", "example.com", "2026-11-21T20:00:00Z"; "(none)", "other"
  rates::Cell cell;
  /// Final failures over recipients sent to x 100. By cause and category: over all that was sent.
  double bounce_percent = 0;
  double complaint_percent = 0;  ///< complaints over delivered x 100
  std::string warning;           ///< "bounces >= 5 %", "complaints >= 0.3 %: act"; empty = fine
  std::string meaning;           ///< by cause only
  std::string advice;
};

struct RatesTable {
  Grouping by = Grouping::cause;
  std::vector<RatesLine> lines;  ///< most failures first (by hour: in time order)
  RatesLine total;
};

/// Memory: one entry per distinct name between the two times.
Result<RatesTable> rates_table(const Context& context, const RatesQuery& query);
void write_rates(const RatesTable& table, Format format, const Sink& sink);

}  // namespace bounced::report
