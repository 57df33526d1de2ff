#include "simulation.h"

#include <numeric>

namespace bounced::bench {
namespace {

constexpr std::size_t kSparseSlots = 256;
constexpr std::size_t kRealSlots = 20'000;
// Inodes wait in line behind this many others before a short queue id comes again.
constexpr std::size_t kInodesAtRest = 4'096;
constexpr std::int64_t kLifetimeUs = std::int64_t{90} * 60 * 1'000'000;
constexpr std::int64_t kFirstRetryUs = std::int64_t{300} * 1'000'000;
constexpr std::int64_t kLongestRetryUs = std::int64_t{4'000} * 1'000'000;

// Of first attempts. With the retries below the log has 85 % sent, 8 % deferred, 5 % bounced.
constexpr double kFirstBounced = 0.050;
constexpr double kFirstDeferred = 0.043;
constexpr double kStuck = 0.10;  // of the messages deferred once: until they expire
constexpr double kRetryDeferred = 0.33;
constexpr double kRetryBounced = 0.08;
constexpr double kSuspended = 0.07;   // of deferrals: not attempted at all
constexpr double kSoftBounce = 0.02;  // of bounces: kept by soft_bounce=yes
constexpr double kRemovedInSparse = 0.40;

}  // namespace

Simulation::Simulation(const SimulationOptions& options, const Diagnostics& diagnostics,
                       const Population& population, LogWriter& out)
    : options_(options),
      diagnostics_(diagnostics),
      population_(population),
      out_(out),
      random_(options.seed),
      gap_us_(2'000'000 / options.lines_per_second),
      active_(options.profile == Profile::real ? kRealSlots : kSparseSlots),
      seen_((std::size_t{options.recipients} * 2 + 63) / 64) {
  // Coprime to any population below 2^31, so that it visits everybody once.
  stride_ = 2'147'483'647U % options.recipients;
  if (stride_ == 0) stride_ = 1;
  while (std::gcd(stride_, options.recipients) != 1) ++stride_;
}

Truth Simulation::run() {
  const bool prefill = options_.profile == Profile::prefill;
  for (Message& m : active_) refill(m);
  const auto slots = static_cast<std::uint32_t>(active_.size());
  while (!out_.failed() &&
         (prefill ? truth_.bounced < options_.recipients : out_.bytes() < options_.bytes)) {
    Message& m = active_[random_.below(slots)];
    if (m.step == Step::done) refill(m);
    if (m.step != Step::done) step(m);
  }
  out_.flush();
  truth_.lines = out_.lines();
  truth_.bytes = out_.bytes();
  return truth_;
}

void Simulation::refill(Message& m) {
  if (!deferred_.empty() && deferred_.top().due_us <= out_.now_us()) {
    m = deferred_.top();
    deferred_.pop();
    m.step = Step::active;
    m.at = 0;
    return;
  }
  if (options_.profile != Profile::prefill || prefilled_ < options_.recipients) start(m);
}

std::uint32_t Simulation::draw_recipient() {
  if (options_.profile == Profile::prefill) {
    const std::uint64_t i = prefilled_++;
    return static_cast<std::uint32_t>(i * stride_ % options_.recipients);
  }
  // Zipf with exponent 1/2: the inverse of its distribution function is a square.
  const double u = random_.unit();
  const auto rank = static_cast<std::uint32_t>(u * u * options_.recipients);
  return random_.chance(options_.known_fraction) ? rank : rank + options_.recipients;
}

void Simulation::start(Message& m) {
  const bool real = options_.profile == Profile::real;
  m = Message{};
  m.hash = random_.next();
  m.arrived_us = out_.now_us();
  m.size = 2'000 + random_.below(90'000);
  const double u = random_.unit();
  m.brand = static_cast<std::uint16_t>(u * u * static_cast<double>(population_.brands()));
  m.count = 1;
  const std::uint32_t d = random_.below(1000);
  if (real && d < 100) {
    m.count = static_cast<std::uint8_t>(d < 70 ? 2 : d < 90 ? 3 + d % 3 : 6 + d % 7);
  }
  for (unsigned i = 0; i < m.count; ++i) m.recipients[i] = draw_recipient();
  m.pending = static_cast<std::uint16_t>((1U << m.count) - 1);
  m.second_instance = real && (m.hash & 1) != 0;
  if (options_.profile != Profile::prefill) {
    const std::uint32_t f = random_.below(1000);
    m.form = f < 8    ? Form::filter
             : f < 10 ? Form::forward
             : f < 12 ? Form::discard
             : f < 14 ? Form::probe
                      : Form::remote;
    if (options_.exim && (m.form == Form::forward || m.form == Form::probe)) m.form = Form::remote;
  }
  give_id(m);
  m.step = !real ? Step::active : (m.hash & 6) == 0 ? Step::client : Step::connect;
  if (m.form == Form::probe) m.step = Step::deliver;
  if (options_.exim) m.step = Step::active;
  ++truth_.messages;
}

void Simulation::give_id(Message& m) {
  static constexpr char kSafe[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
  // An id is a file's name: never two mails at once, yet reused as soon as the inode is.
  if (free_inodes_.size() - free_head_ > kInodesAtRest) {
    m.inode = free_inodes_[free_head_++];
    if (free_head_ > (1 << 16)) {
      free_inodes_.erase(free_inodes_.begin(),
                         free_inodes_.begin() + static_cast<std::ptrdiff_t>(free_head_));
      free_head_ = 0;
    }
  } else {
    m.inode = next_inode_++;
  }
  if (options_.exim) return give_exim_id(m);
  char* end = m.id.data();
  const auto digits = [&end](std::uint64_t value, unsigned base, int n) {
    for (int i = n - 1; i >= 0; --i, value /= base) end[i] = kSafe[value % base];
    end += n;
  };
  if (options_.profile == Profile::real && !m.second_instance) {
    static constexpr char kHex[] = "0123456789ABCDEF";
    // Microseconds drawn from the inode: the same short id comes again with it.
    const std::uint64_t us = mix(m.inode) % 1'000'000;
    const std::uint64_t inode = 0x9a0000U + m.inode;
    for (int i = 4; i >= 0; --i) *end++ = kHex[(us >> (4 * i)) & 15];
    for (int i = 5; i >= 0; --i) *end++ = kHex[(inode >> (4 * i)) & 15];
  } else {
    digits(static_cast<std::uint64_t>(out_.now_us() / 1'000'000), 52, 6);
    digits(static_cast<std::uint64_t>(out_.now_us() % 1'000'000), 52, 4);
    *end++ = 'z';
    digits(0x9a0000U + m.inode, 51, 5);
  }
  m.id_size = static_cast<std::uint8_t>(end - m.id.data());
}

void Simulation::count_recipient(std::uint32_t recipient) {
  std::uint64_t& word = seen_[recipient / 64];
  const std::uint64_t bit = std::uint64_t{1} << (recipient % 64);
  if ((word & bit) == 0) ++truth_.recipients;
  word |= bit;
}

void Simulation::step(Message& m) {
  out_.advance(1 + random_.below(gap_us_));
  if (options_.exim) {
    step_exim(m);
  } else if (m.step < Step::active || m.step == Step::disconnect) {
    step_intake(m);
  } else {
    step_queue(m);
  }
  if (options_.profile == Profile::real && !options_.exim && random_.below(256) < 4) noise(m);
  if (m.step == Step::done) free_inodes_.push_back(m.inode);
}

void Simulation::step_intake(Message& m) {
  const auto client = [&] {
    out_.put("app").number(m.hash % 9).put(".esp.example[10.9.0.").number(m.hash % 9).put(']');
  };
  begin(m, m.step == Step::message_id || m.step == Step::header ? "cleanup" : "smtpd");
  switch (m.step) {
    case Step::connect:
      out_.put("connect from ");
      client();
      m.step = Step::client;
      break;
    case Step::client:
      put_id(m);
      out_.put(": client=");
      client();
      if ((m.hash & 8) != 0) {
        out_.put(", sasl_method=PLAIN, sasl_username=");
        out_.put(population_.brand(m.brand));
      }
      m.step = Step::message_id;
      break;
    case Step::message_id:
      put_id(m);
      out_.put(": message-id=");
      put_message_id(m);
      m.step = (m.hash & 0x30) == 0 ? Step::header : Step::active;
      break;
    case Step::header:
      put_id(m);
      out_.put(": info: header X-Campaign: autumn-").number(m.hash % 60).put(" from ");
      client();
      out_.put("; from=<");
      put_sender(m);
      out_.put("> to=<");
      population_.put_address(out_, m.recipients[0]);
      out_.put("> proto=ESMTP helo=<app.esp.example>");
      m.step = Step::active;
      break;
    default:
      out_.put("disconnect from ");
      client();
      out_.put(" ehlo=1 mail=1 rcpt=").number(m.count).put(" data=1 quit=1 commands=");
      out_.number(m.count + 4U);
      m.step = Step::deliver;
      break;
  }
  out_.end_line();
}

void Simulation::step_queue(Message& m) {
  const bool real = options_.profile == Profile::real;
  switch (m.step) {
    case Step::active:
      begin(m, "qmgr");
      put_id(m);
      out_.put(": from=<");
      put_sender(m);
      out_.put(">, size=").number(m.size).put(", nrcpt=").number(m.count);
      out_.put(" (queue active)");
      out_.end_line();
      m.step = real && m.attempt == 0 && (m.hash & 6) != 0 ? Step::disconnect : Step::deliver;
      return;
    case Step::deliver:
      deliver_next(m);
      return;
    case Step::expire:
      begin(m, "qmgr");
      put_id(m);
      out_.put(": from=<");
      put_sender(m);
      out_.put(">, status=expired, returned to sender");
      out_.end_line();
      truth_.expired += static_cast<unsigned>(__builtin_popcount(m.pending));
      m.step = real ? Step::notify : Step::done;
      return;
    case Step::notify:
      begin(m, "bounce");
      put_id(m);
      out_.put(": sender non-delivery notification: ");
      put_queue_id();
      out_.end_line();
      m.step = Step::remove;
      return;
    default:
      begin(m, "qmgr");
      put_id(m);
      out_.put(": removed");
      out_.end_line();
      m.step = Step::done;
      return;
  }
}

/// Every recipient had its turn: the mail is done, waits for the next retry, or has expired.
void Simulation::after_attempt(Message& m) {
  const bool real = options_.profile == Profile::real;
  if (m.form == Form::probe) {
    m.step = Step::done;
    return;
  }
  if (m.pending == 0) {
    const bool notify = real && m.bounced;
    const bool removed = real || options_.exim || random_.chance(kRemovedInSparse);
    m.step = notify && !options_.exim ? Step::notify : removed ? Step::remove : Step::done;
    return;
  }
  if (m.attempt == 0) m.stuck = random_.chance(kStuck);
  if (out_.now_us() - m.arrived_us > kLifetimeUs) {
    m.step = Step::expire;
    return;
  }
  const std::int64_t backoff = kFirstRetryUs << (m.attempt < 4 ? m.attempt : 4);
  m.due_us = out_.now_us() + (backoff < kLongestRetryUs ? backoff : kLongestRetryUs);
  if (m.attempt < 255) ++m.attempt;
  m.step = Step::active;
  deferred_.push(m);
  // The slot is free for the next mail; the id goes on living in the deferred queue.
  m = Message{};
  refill(m);
}

void Simulation::deliver_next(Message& m) {
  while (m.at < m.count && (m.pending >> m.at & 1) == 0) ++m.at;
  const unsigned index = m.at++;
  const std::uint32_t recipient = m.recipients[index];
  ++truth_.delivery_lines;
  count_recipient(recipient);
  if (m.form == Form::remote) {
    deliver_remote(m, recipient, index);
  } else {
    write_local_form(m, recipient);
    m.pending = static_cast<std::uint16_t>(m.pending & ~(1U << index));
  }
  while (m.at < m.count && (m.pending >> m.at & 1) == 0) ++m.at;
  if (m.at >= m.count) after_attempt(m);
}

void Simulation::deliver_remote(Message& m, std::uint32_t recipient, unsigned index) {
  const bool first = m.attempt == 0;
  const double u = random_.unit();
  const double bounced = first ? kFirstBounced : m.stuck ? 0 : kRetryBounced;
  const double deferred = first ? kFirstDeferred : m.stuck ? 1 : kRetryDeferred;
  const bool prefill = options_.profile == Profile::prefill;
  if (prefill || u < bounced) {
    if (!prefill && !options_.exim && random_.chance(kSoftBounce)) {
      begin_delivery(m, "smtp", recipient);
      const Relay& relay = population_.site_of(recipient).relays[0];
      out_.put(", relay=").put(relay.bracketed).put(":25");
      put_timing(m);
      out_.put(", dsn=4.1.1, status=SOFTBOUNCE (host ").put(relay.bracketed);
      out_.put(" said: 550 5.1.1 <");
      population_.put_address(out_, recipient);
      out_.put(">: user unknown (in reply to RCPT TO command))");
      out_.end_line();
      ++truth_.deferred;
      return;
    }
    write_failure(m, recipient, true);
    m.bounced = true;
    ++truth_.bounced;
  } else if (u < bounced + deferred) {
    if (!first && random_.chance(kSuspended)) {
      write_suspended(m, recipient);
      ++truth_.unattempted;
    } else {
      write_failure(m, recipient, false);
    }
    ++truth_.deferred;
    return;
  } else {
    write_sent(m, recipient);
    ++truth_.delivered;
  }
  m.pending = static_cast<std::uint16_t>(m.pending & ~(1U << index));
}

}  // namespace bounced::bench
