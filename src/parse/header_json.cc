#include "parse/header_json.h"

#include <simdjson.h>

#include <charconv>

#include "parse/scan.h"

namespace bounced::parse {

struct JsonLine::Impl {
  simdjson::ondemand::parser parser;
  std::string copy;   ///< of a line without enough padding, or with bad UTF-8
  std::string bytes;  ///< MESSAGE as an array of byte values (journald)

  simdjson::error_code read(JsonLine& line, std::string_view text, std::size_t capacity);
  simdjson::error_code byte_array(simdjson::ondemand::value value);
};

JsonLine::JsonLine() : impl_(std::make_unique<Impl>()) {}
JsonLine::~JsonLine() = default;

namespace {

enum class Key { none, time, realtime, host, tag, program, identifier, pid, message };

// rsyslog's property names, its usual templates, syslog-ng's, and journald's fields, by length: a
// line has half a dozen keys, and comparing each with all names costs more than reading the JSON.
Key key_of(std::string_view name) {
  switch (name.size()) {
    case 3:
      if (name == "tag") return Key::tag;
      if (name == "msg") return Key::message;
      return name == "pid" || name == "PID" ? Key::pid : Key::none;
    case 4:
      if (name == "host" || name == "HOST") return Key::host;
      if (name == "time") return Key::time;
      return name == "_PID" ? Key::pid : Key::none;
    case 5:
      return name == "ident" ? Key::program : Key::none;
    case 6:
      return name == "procid" ? Key::pid : Key::none;
    case 7:
      if (name == "message" || name == "MESSAGE") return Key::message;
      return name == "program" || name == "PROGRAM" || name == "appname" ? Key::program : Key::none;
    case 8:
      if (name == "hostname") return Key::host;
      return name == "app-name" || name == "app_name" ? Key::program : Key::none;
    case 9:
      if (name == "timestamp") return Key::time;
      if (name == "syslogtag") return Key::tag;
      return name == "_HOSTNAME" ? Key::host : Key::none;
    case 10:
      return name == "@timestamp" ? Key::time : Key::none;
    case 11:
      return name == "programname" ? Key::program : Key::none;
    case 12:
      return name == "timereported" ? Key::time : Key::none;
    case 17:
      return name == "SYSLOG_IDENTIFIER" ? Key::identifier : Key::none;
    case 20:
      return name == "__REALTIME_TIMESTAMP" ? Key::realtime : Key::none;
    default:
      return Key::none;
  }
}

}  // namespace

simdjson::error_code JsonLine::Impl::byte_array(simdjson::ondemand::value value) {
  simdjson::ondemand::array array;
  if (const auto error = value.get_array().get(array)) return error;
  bytes.clear();
  for (auto element : array) {
    std::uint64_t byte = 0;
    if (const auto error = element.get_uint64().get(byte)) return error;
    bytes.push_back(static_cast<char>(byte));
  }
  return simdjson::SUCCESS;
}

simdjson::error_code JsonLine::Impl::read(JsonLine& line, std::string_view text,
                                          std::size_t capacity) {
  simdjson::ondemand::document document;
  if (const auto error = parser.iterate(text.data(), text.size(), capacity).get(document)) {
    return error;
  }
  simdjson::ondemand::object object;
  if (const auto error = document.get_object().get(object)) return error;
  for (auto field : object) {
    std::string_view name;
    if (const auto error = field.unescaped_key().get(name)) return error;
    simdjson::ondemand::value value;
    if (const auto error = field.value().get(value)) return error;
    const Key key = key_of(name);
    if (key == Key::none) continue;
    simdjson::ondemand::json_type type{};
    if (const auto error = value.type().get(type)) return error;
    if (type == simdjson::ondemand::json_type::array && key == Key::message) {
      if (const auto error = byte_array(value)) return error;
      line.message = bytes;
      continue;
    }
    if (type != simdjson::ondemand::json_type::string) continue;
    std::string_view string;
    if (const auto error = value.get_string().get(string)) return error;
    switch (key) {
      case Key::time:
        line.time = string;
        break;
      case Key::realtime: {
        line.time = string;
        const char* const end = string.data() + string.size();
        if (std::from_chars(string.data(), end, line.time_us).ptr != end) line.time_us = 0;
        break;
      }
      case Key::host:
        line.host = string;
        break;
      case Key::tag:
        line.tag = string;
        break;
      case Key::program:
        line.program = string;
        break;
      case Key::identifier:
        line.program = string;
        line.identifier = true;
        break;
      case Key::pid:
        line.pid = string;
        break;
      case Key::message:
        line.message = string;
        break;
      case Key::none:
        break;
    }
  }
  return simdjson::SUCCESS;
}

bool JsonLine::read(std::string_view line, std::size_t padding) {
  time = host = tag = program = pid = message = {};
  time_us = 0;
  identifier = false;
  simdjson::error_code error;
  if (padding >= simdjson::SIMDJSON_PADDING) {
    error = impl_->read(*this, line, line.size() + padding);
  } else {
    impl_->copy.reserve(line.size() + simdjson::SIMDJSON_PADDING);
    impl_->copy.assign(line);
    error = impl_->read(*this, impl_->copy, impl_->copy.capacity());
  }
  if (error == simdjson::UTF8_ERROR) {
    // Loggers pass bad UTF-8 on; the record counts more than the letter.
    impl_->copy.reserve(line.size() + simdjson::SIMDJSON_PADDING);
    impl_->copy.assign(line);
    for (char& c : impl_->copy) {
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    }
    time = host = tag = program = pid = message = {};
    time_us = 0;
    error = impl_->read(*this, impl_->copy, impl_->copy.capacity());
  }
  if (error) return false;
  return !message.empty() && !(time.empty() && time_us == 0) && !(tag.empty() && program.empty());
}

}  // namespace bounced::parse
