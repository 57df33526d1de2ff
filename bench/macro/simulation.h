// Plays messages through a Postfix or Exim that exists only as log lines, and counts what it wrote.
// Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <queue>
#include <string>
#include <vector>

#include "diagnostics.h"
#include "log_writer.h"
#include "population.h"
#include "random.h"

namespace bounced::bench {

enum class Profile : std::uint8_t {
  sparse,   ///< qmgr from=, smtp to=, two of five removed: 2.4 lines a delivery line
  real,     ///< smtpd, cleanup, qmgr, smtp, removed; interleaved, many recipients, reused ids
  prefill,  ///< every known recipient bounces exactly once, in sparse's form
};

/// Message ids of Exim: 6-6-2 characters, or 6-11-4 since 4.97. Both: the second instance's, which
/// the real profile has, are new ones.
enum class EximIds : std::uint8_t { old_ones, new_ones, both };

struct SimulationOptions {
  Profile profile = Profile::sparse;
  std::uint64_t seed = 1;
  std::uint64_t bytes = std::uint64_t{1} << 30;
  std::uint32_t recipients = 0;  ///< known population, > 0 for Simulation
  double known_fraction = 1.0;   ///< of the deliveries go to it, the rest to as many strangers
  std::uint32_t lines_per_second = 0;  ///< > 0 for Simulation
  bool exim = false;                   ///< Exim's mainlog; every profile has all of its lines
  EximIds exim_ids = EximIds::both;
};

/// What a correct reader must count.
struct Truth {
  std::uint64_t lines = 0, bytes = 0, delivery_lines = 0, messages = 0;
  std::uint64_t delivered = 0, relayed = 0, deferred = 0, bounced = 0, expired = 0;
  std::uint64_t discarded = 0, probed = 0;
  std::uint64_t unattempted = 0;  ///< of deferred
  std::uint64_t recipients = 0;   ///< distinct
};

class Simulation {
 public:
  Simulation(const SimulationOptions& options, const Diagnostics& diagnostics,
             const Population& population, LogWriter& out);
  /// Writes until the log has `bytes` (prefill: until everybody bounced).
  Truth run();

 private:
  static constexpr std::size_t kMaxRecipients = 12;
  enum class Step : std::uint8_t {
    connect,
    client,
    message_id,
    header,
    active,
    disconnect,
    deliver,
    expire,
    notify,
    remove,
    done
  };
  enum class Form : std::uint8_t { remote, filter, forward, discard, probe };

  struct Message {
    std::uint64_t hash = 0;
    std::int64_t arrived_us = 0;
    std::int64_t due_us = 0;
    std::array<std::uint32_t, kMaxRecipients> recipients{};
    std::array<char, 24> id{};
    std::uint32_t inode = 0;
    std::uint32_t size = 0;
    std::uint16_t brand = 0;
    std::uint16_t pending = 0;  ///< bit i: recipient i has no final outcome yet
    std::uint8_t count = 0;
    std::uint8_t at = 0;  ///< next recipient of this attempt
    std::uint8_t id_size = 0;
    std::uint8_t attempt = 0;
    Step step = Step::done;
    Form form = Form::remote;
    bool second_instance = false;
    bool stuck = false;  ///< deferred until it expires
    bool bounced = false;
  };
  struct Later {
    bool operator()(const Message& a, const Message& b) const { return a.due_us > b.due_us; }
  };

  void refill(Message& m);
  void start(Message& m);
  void give_id(Message& m);
  void step(Message& m);
  void step_intake(Message& m);
  void step_queue(Message& m);
  void after_attempt(Message& m);
  std::uint32_t draw_recipient();

  void begin(const Message& m, std::string_view daemon);
  void put_id(const Message& m) { out_.put(std::string_view(m.id.data(), m.id_size)); }
  void put_sender(const Message& m);
  void put_message_id(const Message& m);
  void put_queue_id();
  void put_pieces(const Diagnostic& d, const Message& m, std::uint32_t recipient,
                  const Relay& relay);
  void put_timing(const Message& m);
  void put_accepted(const Message& m, const Site& site);
  void deliver_next(Message& m);
  void deliver_remote(Message& m, std::uint32_t recipient, unsigned index);
  void write_sent(const Message& m, std::uint32_t recipient);
  void write_failure(const Message& m, std::uint32_t recipient, bool bounced);
  void write_suspended(const Message& m, std::uint32_t recipient);
  void write_local_form(const Message& m, std::uint32_t recipient);
  void give_exim_id(Message& m);
  void step_exim(Message& m);
  void begin_exim(const Message& m, std::string_view flag);
  void put_exim_host(const Relay& relay);
  void write_exim_received(const Message& m);
  void write_exim_sent(const Message& m, std::uint32_t recipient);
  void write_exim_failure(const Message& m, std::uint32_t recipient, bool bounced);
  void write_exim_suspended(const Message& m, std::uint32_t recipient);
  void write_exim_local_form(const Message& m, std::uint32_t recipient);
  void begin_delivery(const Message& m, std::string_view daemon, std::uint32_t recipient);
  void noise(const Message& m);
  void count_recipient(std::uint32_t recipient);

  SimulationOptions options_;
  const Diagnostics& diagnostics_;
  const Population& population_;
  LogWriter& out_;
  Random random_;
  Truth truth_;
  std::uint32_t gap_us_;
  std::uint32_t prefilled_ = 0;
  std::uint32_t stride_ = 0;
  std::vector<Message> active_;
  std::priority_queue<Message, std::vector<Message>, Later> deferred_;
  std::vector<std::uint32_t> free_inodes_;  ///< a ring: reused first in, first out
  std::size_t free_head_ = 0;
  std::uint32_t next_inode_ = 0;
  std::vector<std::uint64_t> seen_;  ///< a bit for each recipient
};

}  // namespace bounced::bench
