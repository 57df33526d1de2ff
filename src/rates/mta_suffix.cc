#include <algorithm>
#include <array>

#include "rates/rates.h"

namespace bounced::rates {
namespace {

/// Second-level labels under which registries of two-letter domains sell names. Not the whole
/// public suffix list: a miss only joins hosts of one country under one key.
constexpr std::array<std::string_view, 16> kRegistryLabels = {
    "ac", "ad",  "co",  "com", "edu", "go",  "gob", "gov",
    "gv", "ltd", "mil", "ne",  "net", "nom", "or",  "org",
};

bool registry(std::string_view second, std::string_view top) {
  return top.size() == 2 &&
         std::find(kRegistryLabels.begin(), kRegistryLabels.end(), second) != kRegistryLabels.end();
}

}  // namespace

std::string_view mta_suffix(std::string_view host) {
  while (!host.empty() && host.back() == '.') host.remove_suffix(1);
  const std::size_t dot = host.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return host;
  const std::string_view top = host.substr(dot + 1);
  const bool address =
      std::all_of(top.begin(), top.end(), [](char c) { return c >= '0' && c <= '9'; }) ||
      host.find(':') != std::string_view::npos;
  if (address) return host;
  const std::size_t second = host.rfind('.', dot - 1);
  if (second == std::string_view::npos) return host;
  if (!registry(host.substr(second + 1, dot - second - 1), top)) return host.substr(second + 1);
  const std::size_t third = second == 0 ? std::string_view::npos : host.rfind('.', second - 1);
  return third == std::string_view::npos ? host : host.substr(third + 1);
}

}  // namespace bounced::rates
