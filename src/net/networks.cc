#include "net/networks.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

#include "base/text.h"

namespace bounced::net {

bool Networks::read(std::string_view text, Bytes& out, bool& v4) {
  char copy[INET6_ADDRSTRLEN + 1] = {};
  if (text.empty() || text.size() >= sizeof copy) return false;
  std::memcpy(copy, text.data(), text.size());
  std::uint8_t four[4];
  v4 = ::inet_pton(AF_INET, copy, four) == 1;
  if (!v4) return ::inet_pton(AF_INET6, copy, out.data()) == 1;
  out = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // RFC 4291, 2.5.5.2
  std::memcpy(out.data() + 12, four, sizeof four);
  return true;
}

Result<Networks> Networks::make(const std::vector<std::string>& texts) {
  Networks made;
  for (const std::string& text : texts) {
    const std::string_view all = text;
    const std::size_t slash = all.find('/');
    Network network;
    bool v4 = false;
    bool good = read(all.substr(0, slash), network.bytes, v4);
    if (good && slash != std::string_view::npos) {
      const std::string_view digits = all.substr(slash + 1);
      const auto [end, ec] =
          std::from_chars(digits.data(), digits.data() + digits.size(), network.bits);
      good = ec == std::errc() && end == digits.data() + digits.size() &&
             network.bits <= (v4 ? 32u : 128u);
      if (v4) network.bits += 96;
    }
    if (!good) {
      return fail(ErrorCode::usage, "network", text, "is neither an IP address nor CIDR",
                  "give e.g. 192.0.2.0/24 or 2001:db8::/32");
    }
    made.list_.push_back(network);
  }
  return made;
}

bool Networks::contains(std::string_view ip) const {
  Bytes bytes{};
  bool v4 = false;
  if (list_.empty() || !read(ip, bytes, v4)) return false;
  for (const Network& network : list_) {
    const std::size_t whole = network.bits / 8;
    const unsigned rest = network.bits % 8;
    if (std::memcmp(bytes.data(), network.bytes.data(), whole) != 0) continue;
    if (rest == 0) return true;
    const auto mask = static_cast<std::uint8_t>(0xff00u >> rest);
    if ((bytes[whole] & mask) == (network.bytes[whole] & mask)) return true;
  }
  return false;
}

std::string_view client_ip(std::string_view peer, std::string_view forwarded_for,
                           const Networks& trusted) {
  std::string_view ip = peer;
  while (!forwarded_for.empty() && trusted.contains(ip)) {
    const std::size_t comma = forwarded_for.rfind(',');
    const std::size_t from = comma == std::string_view::npos ? 0 : comma + 1;
    const std::string_view hop = trim(forwarded_for.substr(from));
    forwarded_for = comma == std::string_view::npos ? "" : forwarded_for.substr(0, comma);
    if (hop.empty() || hop.size() > INET6_ADDRSTRLEN) break;
    ip = hop;
  }
  return ip;
}

std::string masked_ip(std::string_view ip) {
  if (const std::size_t dot = ip.rfind('.'); dot != std::string_view::npos) {
    return std::string(ip.substr(0, dot)) + ".x";
  }
  std::size_t end = 0;
  for (int groups = 0; groups < 3; ++groups) {
    const std::size_t colon = ip.find(':', end);
    if (colon == std::string_view::npos) break;
    end = colon + 1;
  }
  return std::string(ip.substr(0, end)) + "x";
}

}  // namespace bounced::net
