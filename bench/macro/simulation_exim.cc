// The same mail as Exim's mainlog tells it, with smtp_confirmation on, as by default.
#include "simulation.h"

namespace bounced::bench {
namespace {

constexpr double kUnworded = 0.12;  // of failures: no server said anything

}  // namespace

void Simulation::give_exim_id(Message& m) {
  static constexpr char kDigits[] =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  char* end = m.id.data();
  const auto digits = [&end](std::uint64_t value, int n) {
    for (int i = n - 1; i >= 0; --i, value /= 62) end[i] = kDigits[value % 62];
    end += n;
  };
  const auto us = static_cast<std::uint64_t>(out_.now_us());
  const bool is_new = options_.exim_ids == EximIds::both ? m.second_instance
                                                         : options_.exim_ids == EximIds::new_ones;
  digits(us / 1'000'000, 6);
  *end++ = '-';
  digits(m.inode, is_new ? 11 : 6);
  *end++ = '-';
  digits(us % 1'000'000 / (is_new ? 1 : 500), is_new ? 4 : 2);
  m.id_size = static_cast<std::uint8_t>(end - m.id.data());
}

void Simulation::begin_exim(const Message& m, std::string_view flag) {
  out_.begin_line({}, {}, 0);
  put_id(m);
  out_.put(flag);
}

/// ` H=name [ip]`; relays are kept as `name[ip]`.
void Simulation::put_exim_host(const Relay& relay) {
  out_.put(" H=").put(relay.host).put(" [").put(relay.ip).put(']');
}

void Simulation::write_exim_received(const Message& m) {
  begin_exim(m, " <= ");
  put_sender(m);
  out_.put(" H=app").number(m.hash % 9).put(".esp.example (app.esp.example) [10.9.0.");
  out_.number(m.hash % 9).put("] P=esmtp");
  if ((m.hash & 8) != 0) out_.put("a A=plain:").put(population_.brand(m.brand));
  out_.put(" S=").number(m.size).put(" id=").token(m.hash >> 5, 10).put('.');
  out_.number(m.hash % 100'000'000).put('@').put(population_.brand(m.brand));
  out_.end_line();
}

void Simulation::step_exim(Message& m) {
  switch (m.step) {
    case Step::active:
      if (m.attempt == 0) write_exim_received(m);
      m.step = Step::deliver;
      if (m.attempt == 0) return;
      deliver_next(m);
      return;
    case Step::deliver:
      deliver_next(m);
      return;
    case Step::expire:
      for (unsigned i = 0; i < m.count; ++i) {
        if ((m.pending >> i & 1) == 0) continue;
        begin_exim(m, " ** ");
        population_.put_address(out_, m.recipients[i]);
        out_.put(": retry timeout exceeded");
        out_.end_line();
        ++truth_.expired;
      }
      m.step = Step::remove;
      return;
    default:
      begin_exim(m, " Completed");
      out_.end_line();
      m.step = Step::done;
      return;
  }
}

void Simulation::write_exim_sent(const Message& m, std::uint32_t recipient) {
  const Site& site = population_.site_of(recipient);
  const Relay& relay = site.relays[random_.below(static_cast<std::uint32_t>(site.relays.size()))];
  begin_exim(m, m.at > 1 ? " -> " : " => ");
  population_.put_address(out_, recipient);
  out_.put(" R=dnslookup T=remote_smtp");
  put_exim_host(relay);
  if ((m.hash & 3) != 0)
    out_.put(" X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=yes");
  if ((m.hash & 7) == 7) out_.put(" K");
  out_.put(" C=\"");
  put_accepted(m, site);
  out_.put('"');
  out_.end_line();
}

void Simulation::write_exim_failure(const Message& m, std::uint32_t recipient, bool bounced) {
  const Site& site = population_.site_of(recipient);
  const Relay& relay = site.relays[random_.below(static_cast<std::uint32_t>(site.relays.size()))];
  const auto& choice = diagnostics_.of(site.provider, bounced);
  const Diagnostic& d = choice[random_.below(static_cast<std::uint32_t>(choice.size()))];
  const bool worded = (d.said || d.greeting) && !random_.chance(kUnworded);
  begin_exim(m, bounced ? " ** " : " == ");
  population_.put_address(out_, recipient);
  if (!worded) {
    out_.put(bounced ? (m.hash & 1) != 0 ? ": Unrouteable address"
                                         : " R=dnslookup: all relevant MX records point to "
                                           "non-existent hosts"
                     : " R=dnslookup T=remote_smtp defer (111): Connection refused");
    out_.end_line();
    return;
  }
  const std::string_view command = d.command;
  const bool mail = command == "MAIL FROM", data = command == "end of DATA";
  out_.put(" R=dnslookup T=remote_smtp");
  if (!bounced)
    out_.put(d.greeting ? " defer (0)"
             : mail     ? " defer (-45)"
             : data     ? " defer (-46)"
                        : " defer (-44)");
  put_exim_host(relay);
  out_.put(": SMTP error from remote mail server after ");
  if (d.greeting) {
    out_.put("initial connection");
  } else if (mail) {
    out_.put("pipelined MAIL FROM:<");
    put_sender(m);
    out_.put("> SIZE=").number(m.size);
  } else if (data) {
    out_.put("end of data");
  } else {
    out_.put("RCPT TO:<");
    population_.put_address(out_, recipient);
    out_.put('>');
  }
  out_.put(": ");
  put_pieces(d, m, recipient, relay);
  out_.end_line();
}

void Simulation::write_exim_suspended(const Message& m, std::uint32_t recipient) {
  begin_exim(m, " == ");
  population_.put_address(out_, recipient);
  out_.put(" R=dnslookup T=remote_smtp defer (-54): retry time not reached for any host for '");
  out_.put(population_.site_of(recipient).domain).put('\'');
  out_.end_line();
}

/// Lines that are neither a remote delivery nor a remote failure.
void Simulation::write_exim_local_form(const Message& m, std::uint32_t recipient) {
  if (m.form == Form::filter) {
    begin_exim(m, " => ");
    population_.put_address(out_, recipient);
    out_.put(" R=filter T=filter_smtp H=127.0.0.1 [127.0.0.1]:10024 C=\"250 2.0.0 Ok: queued as ");
    put_queue_id();
    out_.put('"');
    ++truth_.relayed;
  } else {
    begin_exim(m, " => :blackhole: <");
    population_.put_address(out_, recipient);
    out_.put("> R=seed_list");
    ++truth_.discarded;
  }
  out_.end_line();
}

}  // namespace bounced::bench
