// Networks: which IP addresses belong to a list of them; and addresses as they may be logged.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/result.h"

namespace bounced::net {

/// Immutable; const methods from any thread. IPv4 addresses and those mapped into IPv6 are the
/// same.
class Networks {
 public:
  /// Addresses or CIDR. Errors: usage, naming the text.
  static Result<Networks> make(const std::vector<std::string>& texts);
  /// False for what is no address.
  [[nodiscard]] bool contains(std::string_view ip) const;
  [[nodiscard]] bool empty() const { return list_.empty(); }

 private:
  using Bytes = std::array<std::uint8_t, 16>;
  struct Network {
    Bytes bytes{};
    unsigned bits = 128;
  };
  static bool read(std::string_view text, Bytes& out, bool& v4);
  std::vector<Network> list_;
};

/// Whose request it is: the last address of X-Forwarded-For that no trusted proxy has, when `peer`
/// is one; else the peer. Views one of its arguments.
std::string_view client_ip(std::string_view peer, std::string_view forwarded_for,
                           const Networks& trusted);

/// 192.0.2.x, 2001:db8:1:x: enough to tell networks apart, not people.
std::string masked_ip(std::string_view ip);

}  // namespace bounced::net
