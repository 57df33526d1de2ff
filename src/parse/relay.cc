#include "parse/relay.h"

#include <arpa/inet.h>

#include <charconv>

#include "base/text.h"
#include "parse/scan.h"

namespace bounced::parse {
namespace {

/// IPv4 as ::ffff:a.b.c.d, so that one comparison serves both families.
bool to_bytes(std::string_view text, std::array<unsigned char, 16>& out, bool& v4) {
  char copy[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof copy) return false;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  out.fill(0);
  v4 = inet_pton(AF_INET, copy, out.data() + 12) == 1;
  if (v4) {
    out[10] = out[11] = 0xff;
    return true;
  }
  return inet_pton(AF_INET6, copy, out.data()) == 1;
}

bool same_prefix(const std::array<unsigned char, 16>& a, const std::array<unsigned char, 16>& b,
                 unsigned bits) {
  const unsigned whole = bits / 8;
  if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const auto mask = static_cast<unsigned char>(0xff << (8 - bits % 8));
  return (a[whole] & mask) == (b[whole] & mask);
}

// From the providers' own set-up pages; only hosts that take mail to pass it on, never their MXes.
constexpr std::string_view kSubmissionHosts[] = {
    "smtp.sendgrid.net",
    "smtp.eu.sendgrid.net",
    "smtp.mailgun.org",
    "smtp.eu.mailgun.org",
    "smtp.postmarkapp.com",
    "smtp-broadcasts.postmarkapp.com",
    "smtp.sparkpostmail.com",
    "smtp.eu.sparkpostmail.com",
    "in-v3.mailjet.com",
    "in.mailjet.com",
    "smtp-relay.sendinblue.com",
    "smtp-relay.brevo.com",
    "smtp.mandrillapp.com",
    "smtp.resend.com",
    "smtp.zeptomail.com",
    "smtp.zeptomail.eu",
    "smtp.zeptomail.in",
    "smtp.elasticemail.com",
    "smtp-relay.gmail.com",
    "smtp.gmail.com",
    "smtp.office365.com",
    "smtp.socketlabs.com",
    "mail.smtp2go.com",
    "smtp.mailersend.net",
    "live.smtp.mailtrap.io",
    "bulk.smtp.mailtrap.io",
    "smtp.mailchannels.net",
    "smtp25.elasticemail.com",
    "smtp-pulse.com",
    "smtp.pepipost.com",
    "smtp.netcorecloud.net",
    "smtpdm.aliyun.com",
    "smtp.tem.scaleway.com",
    "smtp.forwardemail.net",
    "smtp.lettermint.co",
    "smtp.mailpace.com",
    "smtp.azurecomm.net",
    "smtp.messagebus.com",
    "smtp.zoho.com",
    "smtp.zoho.eu",
    "smtp.zoho.in",
};

/// Where a host's first four letters and its size put it in the filter.
constexpr std::size_t host_slot(std::string_view host) {
  const auto byte = [&](std::size_t i) {
    return std::uint32_t{static_cast<unsigned char>(host[i])};
  };
  std::uint32_t word = byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
  word = (word | 0x20202020u) + static_cast<std::uint32_t>(host.size()) * 0x9E3779B1u;
  return word * 0x85EBCA6Bu >> 22;
}

/// Most hosts are none of these: one bit says so.
constexpr std::array<std::uint64_t, 16> make_host_filter() {
  std::array<std::uint64_t, 16> filter{};
  for (const std::string_view host : kSubmissionHosts) {
    const std::size_t slot = host_slot(host);
    filter[slot / 64] |= std::uint64_t{1} << (slot % 64);
  }
  return filter;
}
constexpr std::array<std::uint64_t, 16> kHostFilter = make_host_filter();

/// False for nearly all hosts, and then right; else the names must be compared.
BOUNCED_HOT bool may_be_submission_host(std::string_view host) {
  if (host.size() < 4) return false;
  const std::size_t slot = host_slot(host);
  return (kHostFilter[slot / 64] >> (slot % 64) & 1) != 0 ||
         (ascii_lower(host[0]) == 'e' && ascii_lower(host[1]) == 'm');
}

bool is_submission_host(std::string_view host) {
  for (const std::string_view name : kSubmissionHosts) {
    if (host.size() == name.size() && iequals(host, name)) return true;
  }
  constexpr std::string_view kSes = "email-smtp.";
  return host.size() > kSes.size() && ascii_lower(host[0]) == 'e' &&
         iequals(host.substr(0, kSes.size()), kSes) && domain_matches(host, "amazonaws.com");
}

}  // namespace

std::span<const std::string_view> submission_hosts() {
  return kSubmissionHosts;
}

namespace {

bool is_loopback(std::string_view host, std::string_view ip) {
  return starts(ip, "127.") || ip == "::1" || (host.size() == 9 && iequals(host, "localhost"));
}

BOUNCED_HOT void split(std::string_view text, Relay& relay) {
  relay = {};
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* const open = find_byte(begin, end, '[');
  if (open == end) return;
  const char* const close = find_byte(open + 1, end, ']');
  relay.host = between(begin, open);
  const std::string_view inside = between(open + 1, close);
  if (find_byte(open + 1, close, '/') != close) {
    relay.socket = true;
  } else {
    relay.ip = inside;
  }
  if (end - close == 4 && close[1] == ':' && close[2] == '2' && close[3] == '5') {
    relay.port = 25;
  } else if (end - close > 2 && close[1] == ':' && is_digit(close[2])) {
    const char* p = close + 2;
    const std::uint32_t port = read_number(p, end);
    if (port <= 65535) relay.port = static_cast<std::uint16_t>(port);
  }
  relay.loopback = is_loopback(relay.host, relay.ip);
}

BOUNCED_HOT bool is_submission(const Relay& relay) {
  const bool port = is_submission_port(relay.port);
  return port || (may_be_submission_host(relay.host) && is_submission_host(relay.host));
}

}  // namespace

Relay split_relay(std::string_view text) {
  Relay relay;
  split(text, relay);
  return relay;
}

bool may_pass_on(std::string_view host) {
  return is_loopback(host, {}) || (may_be_submission_host(host) && is_submission_host(host));
}

RelayReader::RelayReader(const Context& context) : context_(context) {
  add_networks(context.smarthosts);
  add_networks(context.relays);
  configured_ =
      !context.smarthosts.names.empty() || !context.relays.names.empty() || !networks_.empty();
  if (configured_) entries_.resize(kEntries);
}

void RelayReader::add_networks(const RelayHosts& hosts) {
  for (const std::string_view text : hosts.networks) {
    const auto slash = text.find('/');
    Network network;
    bool v4 = false;
    if (!to_bytes(text.substr(0, slash), network.bytes, v4)) continue;
    unsigned bits = v4 ? 32 : 128;
    if (slash != std::string_view::npos) {
      unsigned given = 0;
      const auto* const end = text.data() + text.size();
      if (std::from_chars(text.data() + slash + 1, end, given).ptr != end || given > bits) continue;
      bits = given;
    }
    network.bits = v4 ? bits + 96 : bits;
    networks_.push_back(network);
  }
}

void RelayReader::judge(std::string_view text, Relay& relay) const {
  relay.submission = is_submission(relay);
  const std::string_view name = relay.host.empty() ? text : relay.host;
  for (const RelayHosts* hosts : {&context_.smarthosts, &context_.relays}) {
    for (const std::string_view suffix : hosts->names) {
      if (domain_matches(name, suffix)) relay.configured = true;
    }
  }
  std::array<unsigned char, 16> ip{};
  bool v4 = false;
  if (networks_.empty() || relay.ip.empty() || !to_bytes(relay.ip, ip, v4)) return;
  for (const Network& network : networks_) {
    if (same_prefix(ip, network.bytes, network.bits)) relay.configured = true;
  }
}

const Relay& RelayReader::read_parts(std::string_view text, std::string_view ip) {
  if (configured_) return read(text, true);
  Relay& relay = uncached_;
  relay.host = text.substr(0, static_cast<std::size_t>(ip.data() - 1 - text.data()));
  relay.ip = ip;
  relay.port = 25;
  relay.socket = relay.configured = false;
  relay.loopback = is_loopback(relay.host, ip);
  relay.submission = may_be_submission_host(relay.host) && is_submission_host(relay.host);
  return relay;
}

const Relay& RelayReader::read_named(std::string_view host, std::string_view ip,
                                     std::uint16_t port) {
  Relay& relay = uncached_;
  relay = {};
  relay.host = host;
  relay.ip = ip;
  relay.port = port;
  relay.loopback = is_loopback(host, ip);
  judge(host, relay);
  return relay;
}

const Relay& RelayReader::read(std::string_view text, bool stays) {
  if (stays && !configured_) {  // splitting costs less than looking it up
    split(text, uncached_);
    uncached_.submission = is_submission(uncached_);
    return uncached_;
  }
  if (text.size() < 8 || !stays) {
    uncached_ = split_relay(text);
    judge(text, uncached_);
    return uncached_;
  }
  // First and last bytes differ between hosts and addresses; the middle rarely matters.
  const std::uint64_t mixed =
      (load64(text.data()) ^ load64(text.data() + text.size() - 8) * 0x9E3779B97F4A7C15ull) *
      0xD6E8FEB86659FD93ull;
  Entry& entry = entries_[mixed >> 55];
  if (entry.text.size() != text.size() ||
      !equal_bytes(entry.text.data(), text.data(), text.size())) {
    entry.text = text;
    entry.relay = split_relay(text);
    judge(text, entry.relay);
  }
  return entry.relay;
}

}  // namespace bounced::parse
