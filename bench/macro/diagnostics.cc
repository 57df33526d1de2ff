#include "diagnostics.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "diagnostics_text.h"

namespace bounced::bench {
namespace {

constexpr std::pair<std::string_view, Variable> kVariables[] = {
    {"ip", Variable::our_ip},    {"mxip", Variable::mx_ip},
    {"host", Variable::mx_host}, {"addr", Variable::address},
    {"local", Variable::local},  {"dom", Variable::domain},
    {"from", Variable::sender},  {"fromdom", Variable::sender_domain},
    {"id", Variable::id},        {"hex", Variable::hex},
    {"n", Variable::number},
};

[[noreturn]] void fail(std::string_view line, const char* why) {
  std::fprintf(stderr, "bounced-loggen: diagnostics.txt: %.*s: %s\n", static_cast<int>(line.size()),
               line.data(), why);
  std::exit(3);
}

std::string_view take(std::string_view& rest, char end) {
  const std::size_t at = rest.find(end);
  const std::string_view token = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
  return token;
}

std::vector<Piece> cut(std::string_view line, std::string_view text) {
  std::vector<Piece> pieces;
  while (!text.empty()) {
    Piece piece;
    const std::size_t open = text.find('{');
    piece.literal = text.substr(0, open);
    text.remove_prefix(open == std::string_view::npos ? text.size() : open + 1);
    if (open != std::string_view::npos) {
      const std::string_view name = take(text, '}');
      for (const auto& [known, variable] : kVariables) {
        if (known == name) piece.variable = variable;
      }
      if (piece.variable == Variable::none) fail(line, "unknown variable");
    }
    pieces.push_back(piece);
  }
  return pieces;
}

std::string_view command_of(char form) {
  switch (form) {
    case 'h':
      return "EHLO";
    case 'm':
      return "MAIL FROM";
    case 'r':
      return "RCPT TO";
    case 'd':
      return "DATA";
    case 'e':
      return "end of DATA";
    default:
      return {};
  }
}

Diagnostic parse(std::string_view line, std::string_view rest) {
  Diagnostic d;
  const std::string_view kind = take(rest, ' ');
  const std::string_view form = take(rest, ' ');
  d.dsn = take(rest, ' ');
  if (kind.size() != 1 || form.size() != 1 || d.dsn.size() < 5) fail(line, "wants kind form dsn");
  d.bounced = kind == "b";
  if (d.dsn[0] != (d.bounced ? '5' : '4')) fail(line, "the code's class is not the outcome's");
  d.command = command_of(form[0]);
  d.said = !d.command.empty();
  d.greeting = form == "c";
  d.relayless = form == "n";
  if (!d.said && !d.greeting && !d.relayless && form != "x") fail(line, "unknown form");
  if (d.greeting && d.bounced) {
    // Postfix keeps the mail when a greeting refuses it, and makes the code's class 4.
    d.bounced = false;
    d.dsn[0] = '4';
  }
  d.pieces = cut(line, rest);
  return d;
}

}  // namespace

Diagnostics::Diagnostics() {
  std::string_view text = kDiagnosticsText;
  while (!text.empty()) {
    const std::string_view line = take(text, '\n');
    if (line.empty() || line[0] == '#') continue;
    std::string_view rest = line;
    Group& owner = group(take(rest, ' '));
    Diagnostic d = parse(line, rest);
    owner.by_outcome[d.bounced ? 1 : 0].push_back(std::move(d));
    ++size_;
  }
  local_ = provider("local");
  generic_ = provider("postfix");
}

Diagnostics::Group& Diagnostics::group(std::string_view name) {
  for (Group& g : groups_) {
    if (g.name == name) return g;
  }
  groups_.push_back({name, {}});
  return groups_.back();
}

std::uint16_t Diagnostics::provider(std::string_view name) const {
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (groups_[i].name == name) return static_cast<std::uint16_t>(i);
  }
  fail(name, "no such provider");
}

const std::vector<Diagnostic>& Diagnostics::of(std::uint16_t provider, bool bounced) const {
  const auto& own = groups_[provider].by_outcome[bounced ? 1 : 0];
  return own.empty() ? groups_[generic_].by_outcome[bounced ? 1 : 0] : own;
}

}  // namespace bounced::bench
