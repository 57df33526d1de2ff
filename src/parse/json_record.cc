#include "parse/json_record.h"

#include <charconv>

#include "base/text.h"

namespace bounced::parse {

simdjson::error_code JsonRecord::iterate(const char* data, std::size_t size, std::size_t capacity,
                                         simdjson::ondemand::object& object) {
  if (const auto error = parser_.iterate(data, size, capacity).get(document_)) return error;
  return document_.get_object().get(object);
}

simdjson::error_code JsonRecord::open(std::string_view line, std::size_t padding,
                                      simdjson::ondemand::object& object) {
  simdjson::error_code error = simdjson::SUCCESS;
  if (padding >= simdjson::SIMDJSON_PADDING) {
    error = iterate(line.data(), line.size(), line.size() + padding, object);
  } else {
    copy_.reserve(line.size() + simdjson::SIMDJSON_PADDING);
    copy_.assign(line);
    error = iterate(copy_.data(), copy_.size(), copy_.capacity(), object);
  }
  return error == simdjson::UTF8_ERROR ? open_repaired(line, object) : error;
}

simdjson::error_code JsonRecord::open_repaired(std::string_view line,
                                               simdjson::ondemand::object& object) {
  copy_.reserve(line.size() + simdjson::SIMDJSON_PADDING);
  copy_.assign(line);
  for (char& c : copy_) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return iterate(copy_.data(), copy_.size(), copy_.capacity(), object);
}

std::string_view scalar_text(simdjson::ondemand::value value) {
  simdjson::ondemand::json_type type{};
  if (value.type().get(type)) return {};
  std::string_view text;
  switch (type) {
    case simdjson::ondemand::json_type::string:
      return value.get_string().get(text) ? std::string_view{} : text;
    case simdjson::ondemand::json_type::number:
    case simdjson::ondemand::json_type::boolean:
      return trim(value.raw_json_token());
    default:
      return {};
  }
}

std::int64_t whole_number(simdjson::ondemand::value value, std::int64_t otherwise) {
  std::string_view text = scalar_text(value);
  if (text.size() > 2 && text.substr(text.size() - 2) == ".0") text.remove_suffix(2);
  std::int64_t number = otherwise;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : otherwise;
}

}  // namespace bounced::parse
