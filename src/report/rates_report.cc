#include "report/rates_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/text.h"
#include "base/time.h"
#include "report/event_view.h"

namespace bounced::report {
namespace {

struct GroupingRow {
  Grouping by;
  std::string_view name;
  rates::Dimension dimension;
};
constexpr GroupingRow kGroupings[] = {
    {Grouping::cause, "cause", rates::Dimension::cause},
    {Grouping::category, "category", rates::Dimension::cause},
    {Grouping::domain, "domain", rates::Dimension::domain},
    {Grouping::sender, "sender", rates::Dimension::sender},
    {Grouping::campaign, "campaign", rates::Dimension::campaign},
    {Grouping::hour, "hour", rates::Dimension::total},
    {Grouping::stream, "stream", rates::Dimension::stream},
    {Grouping::tenant, "tenant", rates::Dimension::tenant},
    {Grouping::mta, "mta", rates::Dimension::mta},
};

const GroupingRow& row_of(Grouping by) {
  return kGroupings[static_cast<std::size_t>(by)];
}

bool by_failure(Grouping by) {
  return by == Grouping::cause || by == Grouping::category;
}

std::uint32_t hour_of(std::int64_t time_us) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(time_us / kHourUs, 0, UINT32_MAX));
}

/// Name of a key of the dimension; 0 is what had none, or found no place of its own.
std::string name_of(const Context& context, Grouping by, std::uint32_t key) {
  const auto text = [&](store::Dictionary dictionary) {
    const std::string_view name = context.names.text(dictionary, key);
    return name.empty() ? std::string("(none)") : std::string(name);
  };
  switch (by) {
    case Grouping::cause: {
      const std::string_view id = cause_id(context.rules, static_cast<Cause>(key));
      return id.empty() ? "(none)" : std::string(id);
    }
    case Grouping::category:
      return std::string(to_string(static_cast<Category>(key)));
    case Grouping::hour:
      return format_time(std::int64_t{key} * kHourUs);
    case Grouping::campaign:
      return text(store::Dictionary::campaign);
    case Grouping::stream:
      return text(store::Dictionary::stream);
    case Grouping::tenant:
      return text(store::Dictionary::tenant);
    case Grouping::domain:
    case Grouping::sender:
    case Grouping::mta:
      return text(store::Dictionary::domain);
  }
  return {};
}

using Cells = std::unordered_map<std::uint32_t, rates::Cell>;

/// A cause has a category for what was said to be temporary and one for what was permanent; a cell
/// knows of its final failures which ones expired, that is, were only ever deferred.
void add_by_category(const Context& context, const rates::Row& row, Cells& cells) {
  const CauseInfo& info = cause_info(context.rules, static_cast<Cause>(row.key));
  const Category temporary = info.category_temporary;
  const Category permanent =
      info.temporary_by_nature ? info.category_temporary : info.category_permanent;
  rates::Cell lasting = row.cell, passing;
  passing.deferred = lasting.deferred;
  lasting.deferred = 0;
  std::uint64_t expired = lasting.expired;
  lasting.expired = 0;
  passing.expired = expired;
  for (auto field : {&rates::Cell::soft, &rates::Cell::blocked, &rates::Cell::hard}) {
    const std::uint64_t moved = std::min(lasting.*field, expired);
    lasting.*field -= moved;
    passing.*field += moved;
    expired -= moved;
  }
  cells[static_cast<std::uint32_t>(temporary)].add(passing);
  cells[static_cast<std::uint32_t>(permanent)].add(lasting);
}

Result<Cells> read_cells(const Context& context, const RatesQuery& query) {
  Cells cells;
  const std::uint32_t last = hour_of(std::max<std::int64_t>(query.to_us, 1) - 1);
  const auto read =
      rates::read(context.store, row_of(query.by).dimension, hour_of(query.from_us),
                  last == UINT32_MAX ? last : last + 1, [&](const rates::Row& row) {
                    if (query.by == Grouping::category) return add_by_category(context, row, cells);
                    cells[query.by == Grouping::hour ? row.hour : row.key].add(row.cell);
                  });
  if (!read) return tl::unexpected<Error>(read.error());
  return cells;
}

bool is_empty(const rates::Cell& cell) {
  return cell.sent() + cell.deferred + cell.complained + cell.unsubscribed + cell.suppressed == 0;
}

void judge(RatesLine& line, const RatesQuery& query, std::uint64_t sent) {
  const auto percent = [](std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  line.bounce_percent = percent(line.cell.failed(), sent);
  line.complaint_percent = percent(line.cell.complained, line.cell.delivered);
  if (by_failure(query.by) && line.name != "total") return;
  for (const double limit : query.warn_bounce_percent) {
    if (line.bounce_percent >= limit) line.warning = fmt::format("bounces >= {:g} %", limit);
  }
  const bool act = line.complaint_percent >= query.complaint_act_percent;
  if (line.cell.complained != 0 &&
      (act || line.complaint_percent >= query.complaint_warn_percent)) {
    if (!line.warning.empty()) line.warning += ", ";
    line.warning += act ? fmt::format("complaints >= {:g} %: act", query.complaint_act_percent)
                        : fmt::format("complaints >= {:g} %", query.complaint_warn_percent);
  }
}

/// Most trouble first; equal lines by name, so that the order is the same every time.
bool before(const RatesLine& a, const RatesLine& b) {
  const auto rank = [](const RatesLine& line) {
    return std::make_tuple(line.cell.failed(), line.cell.deferred, line.cell.sent());
  };
  const auto x = rank(a), y = rank(b);
  return x != y ? x > y : a.name < b.name;
}

void keep_top(std::vector<RatesLine>& lines, std::size_t top) {
  if (top == 0 || lines.size() <= top) return;
  RatesLine other;
  other.name = "other";
  for (std::size_t i = top; i < lines.size(); ++i) other.cell.add(lines[i].cell);
  lines.resize(top);
  lines.push_back(std::move(other));
}

std::vector<std::string> numbers(const RatesLine& line, Grouping by) {
  const rates::Cell& c = line.cell;
  std::vector<std::uint64_t> counts;
  if (!by_failure(by)) counts = {c.sent(), c.delivered};
  const std::initializer_list<std::uint64_t> failures = {c.failed(), c.hard,    c.soft,
                                                         c.blocked,  c.expired, c.deferred};
  counts.insert(counts.end(), failures);
  std::vector<std::string> cells;
  cells.reserve(counts.size() + 2);
  for (const std::uint64_t n : counts) cells.push_back(with_commas(n));
  cells.push_back(fmt::format("{:.2f}", line.bounce_percent));
  if (!by_failure(by)) cells.push_back(fmt::format("{:.2f}", line.complaint_percent));
  return cells;
}

std::string text_table(const RatesTable& table) {
  using Align = TextTable::Align;
  std::vector<TextTable::Column> columns = {{std::string(to_string(table.by)), Align::left}};
  if (!by_failure(table.by)) {
    columns.push_back({"sent", Align::right});
    columns.push_back({"delivered", Align::right});
  }
  for (const char* title : {"bounced", "hard", "soft", "blocked", "expired", "deferred"}) {
    columns.push_back({title, Align::right});
  }
  columns.push_back({by_failure(table.by) ? "% of sent" : "bounce %", Align::right});
  if (!by_failure(table.by)) columns.push_back({"complaint %", Align::right});
  columns.push_back({table.by == Grouping::cause ? "advice" : "", Align::left});
  TextTable text(std::move(columns));
  const auto add = [&](const RatesLine& line) {
    std::vector<std::string> cells = {line.name};
    for (std::string& number : numbers(line, table.by)) cells.push_back(std::move(number));
    cells.push_back(line.advice.empty() ? line.warning : line.advice);
    text.add(std::move(cells));
  };
  for (const RatesLine& line : table.lines) add(line);
  add(table.total);
  std::string out;
  text.write(out);
  return out;
}

constexpr const char* kFieldNames[] = {"sent",       "delivered",    "bounced",   "hard",
                                       "soft",       "blocked",      "expired",   "deferred",
                                       "complained", "unsubscribed", "suppressed"};
std::vector<std::uint64_t> fields(const rates::Cell& c) {
  return {c.sent(),  c.delivered, c.failed(),   c.hard,         c.soft,      c.blocked,
          c.expired, c.deferred,  c.complained, c.unsubscribed, c.suppressed};
}

std::string csv_row(const RatesLine& line) {
  std::vector<std::string> texts = {line.name};
  for (const std::uint64_t n : fields(line.cell)) texts.push_back(std::to_string(n));
  texts.push_back(fmt::format("{:.4f}", line.bounce_percent));
  texts.push_back(fmt::format("{:.4f}", line.complaint_percent));
  texts.push_back(line.warning);
  texts.push_back(line.advice);
  std::string out;
  append_csv_row(out, {texts.begin(), texts.end()});
  return out;
}

std::string json_row(const RatesLine& line, std::string_view key) {
  std::string out = "{\"";
  out += key;
  out += "\":";
  append_json(out, line.name);
  const auto values = fields(line.cell);
  for (std::size_t i = 0; i < values.size(); ++i) {
    out += fmt::format(",\"{}\":{}", kFieldNames[i], values[i]);
  }
  out += fmt::format(",\"bounce_percent\":{:.4f},\"complaint_percent\":{:.4f}", line.bounce_percent,
                     line.complaint_percent);
  for (const auto& [name, text] :
       {std::pair<const char*, const std::string&>("warning", line.warning),
        {"meaning", line.meaning},
        {"advice", line.advice}}) {
    if (text.empty()) continue;
    out += fmt::format(",\"{}\":", name);
    append_json(out, text);
  }
  out += "}\n";
  return out;
}

}  // namespace

std::string_view to_string(Grouping by) {
  return row_of(by).name;
}

bool from_string(std::string_view text, Grouping& out) {
  for (const GroupingRow& row : kGroupings) {
    if (row.name != text) continue;
    out = row.by;
    return true;
  }
  return false;
}

Result<RatesTable> rates_table(const Context& context, const RatesQuery& query) {
  RatesQuery all = query;
  all.by = Grouping::hour;
  auto hours = read_cells(context, all);
  if (!hours) return tl::unexpected<Error>(hours.error());
  const bool by_hour = query.by == Grouping::hour;
  auto named = by_hour ? decltype(hours)() : read_cells(context, query);
  if (!named) return tl::unexpected<Error>(named.error());
  const auto& cells = by_hour ? hours : named;

  RatesTable table;
  table.by = query.by;
  table.total.name = "total";
  for (const auto& [hour, cell] : *hours) {
    table.total.cell.add(cell);
  }
  const std::uint64_t sent = table.total.cell.sent();
  for (const auto& [key, cell] : *cells) {
    if (is_empty(cell)) continue;
    RatesLine line;
    line.name = name_of(context, query.by, key);
    line.cell = cell;
    if (query.by == Grouping::cause) {
      const CauseInfo& info = cause_info(context.rules, static_cast<Cause>(key));
      line.meaning = info.meaning;
      line.advice = info.advice;
    }
    table.lines.push_back(std::move(line));
  }
  if (query.by == Grouping::hour) {
    std::sort(table.lines.begin(), table.lines.end(),
              [](const RatesLine& a, const RatesLine& b) { return a.name < b.name; });
  } else {
    std::sort(table.lines.begin(), table.lines.end(), before);
    keep_top(table.lines, query.top);
  }
  for (RatesLine& line : table.lines) {
    judge(line, query, by_failure(query.by) ? sent : line.cell.sent());
  }
  judge(table.total, query, sent);
  return table;
}

void write_rates(const RatesTable& table, Format format, const Sink& sink) {
  if (format == Format::table) return sink(text_table(table));
  if (format == Format::csv) {
    std::vector<std::string_view> titles = {to_string(table.by)};
    titles.insert(titles.end(), std::begin(kFieldNames), std::end(kFieldNames));
    titles.insert(titles.end(), {"bounce_percent", "complaint_percent", "warning", "advice"});
    std::string head;
    append_csv_row(head, titles);
    sink(head);
    for (const RatesLine& line : table.lines) sink(csv_row(line));
    return sink(csv_row(table.total));
  }
  for (const RatesLine& line : table.lines) sink(json_row(line, to_string(table.by)));
  sink(json_row(table.total, to_string(table.by)));
}

}  // namespace bounced::report
