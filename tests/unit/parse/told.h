// All that a batch tells, as text: two ways of reading the same lines must tell the same.
#pragma once

#include "parse_helper.h"

namespace bounced::parse {

inline std::string told(const Parsed& parsed) {
  std::string text;
  for (const Event& e : parsed.batch.events) {
    text += fmt::format(
        "{:x} {} {} {} {} {:x} {}: {:x}{:x} {:x}{:x} to={} from={} {:x} id={} host={} ip={} "
        "port={} "
        "own={} said={} ms={} {} {}.{}.{} {} {} lists {} {} flags {} zero {} {}\n",
        e.id, e.time_us, static_cast<int>(e.time_form), e.offset, e.origin, e.queue_key,
        parsed.view(e.queue_id), e.recipient_id.hi, e.recipient_id.lo, e.domain_id.hi,
        e.domain_id.lo, parsed.view(e.recipient), parsed.view(e.sender), e.sender_domain,
        parsed.view(e.message_id), parsed.view(e.mta_host), parsed.view(e.mta_ip), e.mta_port,
        parsed.view(e.sending_ip), parsed.view(e.diagnostic), e.delay_ms, e.smtp_code,
        e.enhanced.klass, e.enhanced.subject, e.enhanced.detail, to_string(e.kind),
        to_string(e.phase), e.domain, e.host, e.flags, e.message, e.verdict);
  }
  for (const Note& n : parsed.batch.notes) {
    text += fmt::format("{:x} {} {} {} {:x} {} {} {} {}\n", n.text_key, parsed.view(n.text),
                        n.number, static_cast<int>(n.kind), n.queue_key, n.time_us, n.offset,
                        n.origin, n.before_event);
  }
  for (const BatchDomain& domain : parsed.batch.domains) text += parsed.view(domain.text) + "\n";
  for (const Text host : parsed.batch.hosts) text += parsed.view(host) + "\n";
  const ParseCounts& n = parsed.batch.counts;
  return text + fmt::format("{} unparsed {} ignored {} no address", n.unparsed, n.ignored,
                            n.bad_recipient);
}

/// What LocalFinder listed; whether it looks at all depends on the batches before.
inline std::string told_local(const Parsed& parsed) {
  std::string text;
  for (const Event& e : parsed.batch.events) text += fmt::format("{} ", e.local);
  for (std::size_t i = 0; i < parsed.batch.note_local.size(); ++i) {
    text += fmt::format("{} ", parsed.batch.note_local[i]);
  }
  for (const LocalMessage& m : parsed.batch.local) {
    text += fmt::format("{:x} {} {} {} {} {} {} {}\n", m.key, m.first_us, parsed.view(m.sender),
                        parsed.view(m.message_id), parsed.view(m.sasl_user), m.fingerprint, m.begun,
                        m.whole);
  }
  return text + (parsed.batch.joined ? "joined" : "");
}

}  // namespace bounced::parse
