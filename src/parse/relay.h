// relay: the host a delivery line names, and whether it only passes mail on.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "parse/parse.h"

namespace bounced::parse {

/// `host[ip]:port`, `host[/unix/path]`, `none`, `local`, a transport's name.
struct Relay {
  std::string_view host;  ///< empty without brackets
  std::string_view ip;    ///< empty for a unix socket
  std::uint16_t port = 0;
  bool socket = false;      ///< unix-domain
  bool loopback = false;    ///< 127/8, ::1, localhost
  bool submission = false;  ///< ports 587, 465, 2525, or a provider's submission host
  bool configured = false;  ///< one of Context's smart hosts or relays
};

Relay split_relay(std::string_view text);

/// Hosts where providers take mail for submission; beside them email-smtp.<region>.amazonaws.com.
/// Sources: each provider's SMTP set-up page.
std::span<const std::string_view> submission_hosts();

/// 587 and 465 (RFC 6409, RFC 8314), and 2525, which providers offer beside them.
constexpr bool is_submission_port(std::uint16_t port) {
  return port != 25 && (port == 587 || port == 465 || port == 2525);  // mostly 25: asked first
}

/// Whether mail to this host may only be passed on, as far as the name tells: it is a submission
/// host or this one.
bool may_pass_on(std::string_view host);

/// Reads relays of one batch; remembers the last ones, because a few big providers take most mail.
/// Not thread safe.
class RelayReader {
 public:
  explicit RelayReader(const Context& context);
  /// Views into this `text` or an equal one of the batch; valid until the next read(). `stays`:
  /// the text lies in the block, with readable bytes behind it, and may be remembered.
  const Relay& read(std::string_view text, bool stays);
  /// The same for `HOST[IP]:25` whose parts are known.
  const Relay& read_parts(std::string_view text, std::string_view ip);
  /// The same of a log that has the parts apart; port 0 = it does not tell.
  const Relay& read_named(std::string_view host, std::string_view ip, std::uint16_t port);
  /// The context names hosts or networks.
  [[nodiscard]] bool configured() const { return configured_; }

 private:
  struct Network {
    std::array<unsigned char, 16> bytes{};
    unsigned bits = 0;
  };
  struct Entry {
    std::string_view text;
    Relay relay;
  };
  static constexpr std::size_t kEntries = 512;  // 44 KiB

  void add_networks(const RelayHosts& hosts);
  void judge(std::string_view text, Relay& relay) const;

  const Context& context_;
  std::vector<Network> networks_;
  std::vector<Entry> entries_;  ///< none unless configured_
  Relay uncached_;
  bool configured_ = false;  ///< the context names hosts or networks
};

}  // namespace bounced::parse
