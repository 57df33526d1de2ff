// The delivery lines of Simulation: what Postfix and the servers say.
#include "simulation.h"

namespace bounced::bench {
namespace {

constexpr std::string_view kHost = "mx-out1";
constexpr std::string_view kOurIp = "192.0.2.25";
constexpr double kUnworded = 0.12;  // of failures: no server said anything

std::string_view tag_of(std::string_view daemon, bool second_instance) {
  struct Tags {
    std::string_view daemon, first, second;
  };
  static constexpr Tags kTags[] = {
      {"smtp", "postfix/smtp", "postfix-out/smtp"},
      {"qmgr", "postfix/qmgr", "postfix-out/qmgr"},
      {"smtpd", "postfix/smtpd", "postfix-out/smtpd"},
      {"cleanup", "postfix/cleanup", "postfix-out/cleanup"},
      {"bounce", "postfix/bounce", "postfix-out/bounce"},
      {"error", "postfix/error", "postfix-out/error"},
      {"local", "postfix/local", "postfix-out/local"},
      {"discard", "postfix/discard", "postfix-out/discard"},
      {"anvil", "postfix/anvil", "postfix-out/anvil"},
  };
  for (const Tags& t : kTags) {
    if (t.daemon == daemon) return second_instance ? t.second : t.first;
  }
  return "postfix/master";
}

}  // namespace

void Simulation::begin(const Message& m, std::string_view daemon) {
  // The queue manager is one process; the others come from a pool.
  const std::uint32_t pid =
      daemon == "qmgr" ? 911 : 1'200 + static_cast<std::uint32_t>(m.hash % 89);
  out_.begin_line(kHost, tag_of(daemon, m.second_instance), pid);
}

void Simulation::put_sender(const Message& m) {
  if (m.hash % 5 < 3) {
    out_.put("bounce-").token(m.hash, 12).put("@em.").put(population_.brand(m.brand));
  } else {
    out_.put("news@").put(population_.brand(m.brand));
  }
}

void Simulation::put_message_id(const Message& m) {
  out_.put('<').token(m.hash >> 5, 10).put('.').number(m.hash % 100'000'000).put('@');
  out_.put(population_.brand(m.brand)).put('>');
}

void Simulation::put_queue_id() {
  out_.hex(random_.next(), 11);
}

void Simulation::put_timing(const Message& m) {
  const std::uint64_t r = random_.next();
  const auto conversation = static_cast<std::uint32_t>(40 + r % 900);
  const auto transfer = static_cast<std::uint32_t>(100 + (r >> 16) % 2'000);
  const auto waited = static_cast<std::uint32_t>((out_.now_us() - m.arrived_us) / 1000);
  if ((r >> 40) % 12 == 0) out_.put(", conn_use=").number(2 + (r >> 48) % 30);
  out_.put(", delay=").delay(waited + conversation + transfer).put(", delays=").delay(waited);
  out_.put('/').delay(static_cast<std::uint32_t>((r >> 32) % 30)).put('/').delay(conversation);
  out_.put('/').delay(transfer);
}

void Simulation::put_pieces(const Diagnostic& d, const Message& m, std::uint32_t recipient,
                            const Relay& relay) {
  for (const Piece& piece : d.pieces) {
    out_.put(piece.literal);
    switch (piece.variable) {
      case Variable::none:
        break;
      case Variable::our_ip:
        out_.put(kOurIp);
        break;
      case Variable::mx_ip:
        out_.put(relay.ip);
        break;
      case Variable::mx_host:
        out_.put(relay.host);
        break;
      case Variable::address:
        population_.put_address(out_, recipient);
        break;
      case Variable::local:
        population_.put_local(out_, recipient);
        break;
      case Variable::domain:
        out_.put(population_.site_of(recipient).domain);
        break;
      case Variable::sender:
        put_sender(m);
        break;
      case Variable::sender_domain:
        out_.put(population_.brand(m.brand));
        break;
      case Variable::id:
        out_.token(random_.next(), 10).put('-').token(random_.next(), 8);
        break;
      case Variable::hex:
        out_.hex(random_.next(), 12);
        break;
      case Variable::number:
        out_.number(2 + random_.below(97));
        break;
    }
  }
}

void Simulation::begin_delivery(const Message& m, std::string_view daemon,
                                std::uint32_t recipient) {
  begin(m, daemon);
  put_id(m);
  out_.put(": to=<");
  population_.put_address(out_, recipient);
  out_.put('>');
  if (m.hash % 128 == 5) {
    out_.put(", orig_to=<list-").number(m.hash % 500).put("@esp.example>");
  }
}

void Simulation::put_accepted(const Message& m, const Site& site) {
  switch (site.reply) {
    case 1:
      out_.put("250 2.0.0 OK  ").number(static_cast<std::uint64_t>(out_.now_us() / 1'000'000));
      out_.put(' ').token(random_.next(), 12).put("si").number(m.hash % 10'000'000);
      out_.put(".").number(m.hash % 900).put(" - gsmtp");
      break;
    case 2:
      out_.put("250 2.6.0 ");
      put_message_id(m);
      out_.put(" [InternalId=").number(m.hash >> 20).put(", Hostname=").hex(m.hash, 10);
      out_.put(".eurprd").number(m.hash % 20).put(".prod.outlook.com] ").number(m.size);
      out_.put(" bytes in 0.").number(100 + m.hash % 800).put(", ").number(m.hash % 400);
      out_.put(".").number(m.hash % 1000).put(" KB/sec Queued mail for delivery");
      break;
    case 3:
      out_.put("250 ok dirdel");
      break;
    case 4:
      out_.put("250 OK id=1").token(random_.next(), 5).put('-').token(random_.next(), 6);
      out_.put('-').token(m.hash, 2);
      break;
    default:
      out_.put("250 2.0.0 Ok: queued as ").hex(random_.next(), 11);
      break;
  }
}

void Simulation::write_sent(const Message& m, std::uint32_t recipient) {
  if (options_.exim) return write_exim_sent(m, recipient);
  const Site& site = population_.site_of(recipient);
  const Relay& relay = site.relays[random_.below(static_cast<std::uint32_t>(site.relays.size()))];
  begin_delivery(m, "smtp", recipient);
  out_.put(", relay=").put(relay.bracketed).put(":25");
  put_timing(m);
  out_.put(", dsn=2.0.0, status=sent (");
  put_accepted(m, site);
  out_.put(')');
  out_.end_line();
}

void Simulation::write_failure(const Message& m, std::uint32_t recipient, bool bounced) {
  if (options_.exim) return write_exim_failure(m, recipient, bounced);
  const Site& site = population_.site_of(recipient);
  const auto& choice = random_.chance(kUnworded) ? diagnostics_.local(bounced)
                                                 : diagnostics_.of(site.provider, bounced);
  const Diagnostic& d = choice[random_.below(static_cast<std::uint32_t>(choice.size()))];
  const Relay& relay = site.relays[random_.below(static_cast<std::uint32_t>(site.relays.size()))];
  begin_delivery(m, "smtp", recipient);
  out_.put(", relay=");
  if (d.relayless) {
    out_.put("none");
  } else {
    out_.put(relay.bracketed).put(":25");
  }
  put_timing(m);
  out_.put(", dsn=").put(d.dsn).put(bounced ? ", status=bounced (" : ", status=deferred (");
  if (d.said) out_.put("host ").put(relay.bracketed).put(" said: ");
  if (d.greeting) out_.put("host ").put(relay.bracketed).put(" refused to talk to me: ");
  put_pieces(d, m, recipient, relay);
  if (d.said) out_.put(" (in reply to ").put(d.command).put(" command)");
  out_.put(')');
  out_.end_line();
}

void Simulation::write_suspended(const Message& m, std::uint32_t recipient) {
  if (options_.exim) return write_exim_suspended(m, recipient);
  const Relay& relay = population_.site_of(recipient).relays[0];
  begin_delivery(m, "error", recipient);
  out_.put(", relay=none");
  put_timing(m);
  out_.put(", dsn=4.4.1, status=deferred (delivery temporarily suspended: connect to ");
  out_.put(relay.bracketed).put(":25: Connection timed out)");
  out_.end_line();
}

/// Lines that are neither a remote delivery nor a remote failure.
void Simulation::write_local_form(const Message& m, std::uint32_t recipient) {
  if (options_.exim) return write_exim_local_form(m, recipient);
  switch (m.form) {
    case Form::filter:
      begin_delivery(m, "smtp", recipient);
      out_.put(", relay=127.0.0.1[127.0.0.1]:10024");
      put_timing(m);
      out_.put(", dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): ");
      out_.put("250 2.0.0 Ok: queued as ");
      put_queue_id();
      out_.put(')');
      ++truth_.relayed;
      break;
    case Form::forward:
      begin_delivery(m, "local", recipient);
      out_.put(", relay=local");
      put_timing(m);
      out_.put(", dsn=2.0.0, status=sent (forwarded as ");
      put_queue_id();
      out_.put(')');
      ++truth_.relayed;
      break;
    case Form::discard:
      begin_delivery(m, "discard", recipient);
      out_.put(", relay=none");
      put_timing(m);
      out_.put(", dsn=2.0.0, status=sent (seed list)");
      ++truth_.discarded;
      break;
    default: {
      const Relay& relay = population_.site_of(recipient).relays[0];
      const bool known = (m.hash & 64) == 0;
      begin_delivery(m, "smtp", recipient);
      out_.put(", relay=").put(relay.bracketed).put(":25");
      put_timing(m);
      out_.put(known ? ", dsn=2.1.5, status=deliverable (250 2.1.5 Ok"
                     : ", dsn=5.1.1, status=undeliverable (host ");
      if (!known)
        out_.put(relay.bracketed)
            .put(" said: 550 5.1.1 user unknown (in reply to RCPT TO command)");
      out_.put(')');
      ++truth_.probed;
      break;
    }
  }
  out_.end_line();
}

/// Lines of a busy host that say nothing final about any recipient.
void Simulation::noise(const Message& m) {
  const Relay& relay = population_.site_of(m.recipients[0]).relays[1];
  switch (random_.below(5)) {
    case 0:
      begin(m, "smtp");
      out_.put("connect to ").put(relay.bracketed).put(":25: Connection timed out");
      break;
    case 1:
      if (m.step != Step::deliver || m.form != Form::remote) return;
      begin(m, "smtp");
      put_id(m);
      out_.put(": host ").put(relay.bracketed).put(" said: 451 4.7.1 Try again later");
      out_.put(" (in reply to RCPT TO command)");
      break;
    case 2:
      begin(m, "smtp");
      out_.put("Untrusted TLS connection established to ").put(relay.bracketed);
      out_.put(":25: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)");
      break;
    case 3:
      begin(m, "anvil");
      out_.put("statistics: max connection rate ").number(m.hash % 90);
      out_.put("/60s for (smtp:10.9.0.4) at Oct 11 09:14:57");
      break;
    default:
      begin(m, "smtpd");
      out_.put("NOQUEUE: reject: RCPT from unknown[203.0.113.9]: 554 5.7.1 <x");
      out_.number(m.hash % 1000).put("@esp.example>: Relay access denied; from=<a@b.example> ");
      out_.put("to=<x@esp.example> proto=ESMTP helo=<b.example>");
      break;
  }
  out_.end_line();
}

}  // namespace bounced::bench
