// kumomta: KumoMTA's log records, one JSON object a line (docs.kumomta.com, "Log Record").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bounced/event.h"
#include "parse/json_record.h"
#include "parse/parse.h"

namespace bounced::parse {

/// The fields of a record that we use. Views live until the reader's next read().
struct KumoRecord {
  std::string_view type, id, sender, queue, nodeid, egress_pool, classification;
  std::string_view reception_protocol;
  std::string_view peer_name, peer_ip, source_ip;
  std::string_view content, command;           ///< of the response
  std::string_view campaign, message_id;       ///< of meta and headers
  std::string_view feedback_type, mail_from;   ///< of the feedback report
  std::string_view original_message;           ///< there, too
  std::vector<std::string_view> recipients;    ///< of the envelope
  std::vector<std::string_view> complainants;  ///< whom a feedback report names
  std::int64_t time_us = 0, created_us = 0;    ///< 0 = unknown
  std::uint16_t code = 0;
  EnhancedCode enhanced;
  bool has_sender = false;
};

/// Not thread safe.
class KumoReader {
 public:
  enum class Found : std::uint8_t {
    record,   ///< with a type
    other,    ///< JSON, but no record
    damaged,  ///< no JSON (any more)
  };
  Found read(std::string_view line, std::size_t padding, std::string_view campaign_header);
  [[nodiscard]] const KumoRecord& record() const { return record_; }

 private:
  simdjson::error_code fields(simdjson::ondemand::object& object, std::string_view campaign_header);
  simdjson::error_code field(std::string_view key, simdjson::ondemand::value value,
                             std::string_view campaign_header);
  simdjson::error_code response(simdjson::ondemand::value value);
  simdjson::error_code feedback(simdjson::ondemand::value value);

  JsonRecord json_;
  KumoRecord record_;
  bool exact_time_ = false;  ///< event_time was there
};

int probe_kumomta(std::string_view head);
void parse_kumomta(const Context& context, Batch& batch);
std::vector<Field> explain_kumomta(const Context& context, std::string_view line);
std::optional<LineHead> kumomta_head(std::string_view line);

}  // namespace bounced::parse
