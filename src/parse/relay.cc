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
    "smtp.azurecomm.net",
    "smtp.messagebus.com",
    "smtp.zoho.com",
    "smtp.zoho.eu",
    "smtp.zoho.in",
};

bool is_submission_host(std::string_view host) {
  for (const std::string_view name : kSubmissionHosts) {
    if (host.size() == name.size() && ascii_lower(host[0]) == name[0] && iequals(host, name)) {
      return true;
    }
  }
  constexpr std::string_view kSes = "email-smtp.";
  return host.size() > kSes.size() && ascii_lower(host[0]) == 'e' &&
         iequals(host.substr(0, kSes.size()), kSes) && domain_matches(host, "amazonaws.com");
}

}  // namespace

std::span<const std::string_view> submission_hosts() {
  return kSubmissionHosts;
}

Relay split_relay(std::string_view text) {
  Relay relay;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* const open = find_byte(begin, end, '[');
  if (open == end) return relay;
  const char* const close = find_byte(open, end, ']');
  relay.host = between(begin, open);
  const std::string_view inside = between(open + 1, close);
  if (inside.find('/') != std::string_view::npos) {
    relay.socket = true;
  } else {
    relay.ip = inside;
  }
  if (end - close > 2 && close[1] == ':' && is_digit(close[2])) {
    const char* p = close + 2;
    const std::uint32_t port = read_number(p, end);
    if (port <= 65535) relay.port = static_cast<std::uint16_t>(port);
  }
  relay.loopback =
      starts(relay.ip, "127.") || relay.ip == "::1" || iequals(relay.host, "localhost");
  return relay;
}

RelayReader::RelayReader(const Context& context) : context_(context), entries_(kEntries) {
  add_networks(context.smarthosts);
  add_networks(context.relays);
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
  relay.submission = relay.port == 587 || relay.port == 465 || relay.port == 2525 ||
                     is_submission_host(relay.host);
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

const Relay& RelayReader::read(std::string_view text, bool stays) {
  if (text.size() < 8 || !stays) {
    uncached_ = split_relay(text);
    judge(text, uncached_);
    return uncached_;
  }
  // First and last bytes differ between hosts and addresses; the middle rarely matters.
  const std::uint64_t mixed =
      (load64(text.data()) ^ load64(text.data() + text.size() - 8) * 0x9E3779B97F4A7C15ull) *
      0xD6E8FEB86659FD93ull;
  Entry& entry = entries_[mixed >> 57];
  if (entry.text.size() != text.size() ||
      !equal_bytes(entry.text.data(), text.data(), text.size())) {
    entry.text = text;
    entry.relay = split_relay(text);
    judge(text, entry.relay);
  }
  return entry.relay;
}

}  // namespace bounced::parse
