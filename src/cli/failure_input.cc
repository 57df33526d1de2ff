#include "cli/failure_input.h"

#include <charconv>

#include "base/address.h"
#include "base/text.h"

namespace bounced::cli {
namespace {

bool read_enhanced(std::string_view text, EnhancedCode& out) {
  unsigned part[3] = {0, 0, 0};
  std::size_t at = 0;
  for (int i = 0; i < 3; ++i) {
    const auto [end, ec] = std::from_chars(text.data() + at, text.data() + text.size(), part[i]);
    if (ec != std::errc() || part[i] > 999) return false;
    at = static_cast<std::size_t>(end - text.data());
    if (i < 2 && (at >= text.size() || text[at++] != '.')) return false;
  }
  if (at != text.size() || (part[0] != 2 && part[0] != 4 && part[0] != 5)) return false;
  out.klass = static_cast<std::uint8_t>(part[0]);
  out.subject = static_cast<std::uint16_t>(part[1]);
  out.detail = static_cast<std::uint16_t>(part[2]);
  return true;
}

void read_codes(const simdjson::dom::element& root, Failure& failure) {
  std::string_view text;
  std::uint64_t code = 0;
  if (root["smtp_code"].get(code) == simdjson::SUCCESS && code < 1000) {
    failure.smtp_code = static_cast<std::uint16_t>(code);
  } else if (root["smtp_code"].get(text) == simdjson::SUCCESS && text.size() == 3) {
    std::from_chars(text.data(), text.data() + text.size(), failure.smtp_code);
  }
  if (root["enhanced"].get(text) == simdjson::SUCCESS) (void)read_enhanced(text, failure.enhanced);
  if (root["phase"].get(text) == simdjson::SUCCESS) (void)from_string(text, failure.phase);
  if (root["kind"].get(text) == simdjson::SUCCESS) (void)from_string(text, failure.kind);
}

void read_expected(const simdjson::dom::element& root, FailureInput& out) {
  std::string_view text;
  for (const auto& [key, member] :
       {std::pair{"cause", &FailureInput::cause}, std::pair{"rule", &FailureInput::rule},
        std::pair{"class", &FailureInput::bounce_class},
        std::pair{"category", &FailureInput::category},
        std::pair{"not_cause", &FailureInput::not_cause},
        std::pair{"not_rule", &FailureInput::not_rule}}) {
    if (root[key].get(text) == simdjson::SUCCESS) out.*member = text;
  }
  if (root["verdict"]["cause"].get(text) == simdjson::SUCCESS) out.label = text;
}

void read_object(const simdjson::dom::element& root, const simdjson::dom::object& object,
                 FailureInput& out) {
  for (const auto field : object) {
    if (field.key == "verdict") continue;
    if (!out.echo.empty()) out.echo += ',';
    append_json(out.echo, field.key);
    out.echo += ':';
    out.echo += simdjson::minify(field.value);
  }
  std::string_view text;
  if (root["diagnostic"].get(text) == simdjson::SUCCESS ||
      root["text"].get(text) == simdjson::SUCCESS) {
    out.diagnostic = text;
  }
  if (root["mta"]["host"].get(text) == simdjson::SUCCESS ||
      root["mta"].get(text) == simdjson::SUCCESS) {
    out.mta_host = text;
  }
  if (root["recipient_domain"].get(text) == simdjson::SUCCESS) out.domain = text;
  if (root["recipient"].get(text) == simdjson::SUCCESS) out.domain = raw_domain(text);
  read_codes(root, out.failure);
  read_expected(root, out);
}

}  // namespace

bool read_failure(simdjson::dom::parser& parser, const std::string& line,
                  const FailureInput& defaults, FailureInput& out) {
  out = FailureInput{};
  out.mta_host = defaults.mta_host;
  out.domain = defaults.domain;
  out.failure.kind = defaults.failure.kind;
  out.failure.phase = defaults.failure.phase;
  const std::string_view trimmed = trim(line);
  if (trimmed.empty() || trimmed.front() != '{') {
    out.diagnostic = line;
    out.echo = "\"diagnostic\":";
    append_json(out.echo, line);
  } else {
    simdjson::dom::element root;
    simdjson::dom::object object;
    if (parser.parse(trimmed.data(), trimmed.size()).get(root) != simdjson::SUCCESS ||
        root.get(object) != simdjson::SUCCESS) {
      return false;
    }
    out.object = true;
    read_object(root, object, out);
  }
  out.failure.diagnostic = out.diagnostic;
  out.failure.mta_host = out.mta_host;
  out.failure.recipient_domain = out.domain;
  return true;
}

}  // namespace bounced::cli
