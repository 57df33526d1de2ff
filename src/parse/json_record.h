// json_record: one JSON object a line, read once from front to back (simdjson on demand).
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace bounced::parse {

/// Opens lines. Not thread safe; what was read lives until the next open().
class JsonRecord {
 public:
  /// The object of a line that begins with '{'; `padding`: readable bytes behind it. Bytes that are
  /// no UTF-8 become '?': the record counts more than the letter.
  simdjson::error_code open(std::string_view line, std::size_t padding,
                            simdjson::ondemand::object& object);

 private:
  simdjson::error_code open_repaired(std::string_view line, simdjson::ondemand::object& object);
  simdjson::error_code iterate(const char* data, std::size_t size, std::size_t capacity,
                               simdjson::ondemand::object& object);
  simdjson::ondemand::parser parser_;
  simdjson::ondemand::document document_;
  std::string copy_;  ///< of a line without enough padding, or with bad UTF-8
};

/// A string unescaped, a number or a word as written; empty for null, objects and arrays.
std::string_view scalar_text(simdjson::ondemand::value value);
/// A whole number, also as a string; `otherwise` when it is none.
std::int64_t whole_number(simdjson::ondemand::value value, std::int64_t otherwise);

/// Calls visit(key, value) for each field.
template <class Visit>
simdjson::error_code each_field(simdjson::ondemand::object& object, Visit&& visit) {
  for (auto field : object) {
    std::string_view key;
    if (const auto error = field.unescaped_key().get(key)) return error;
    simdjson::ondemand::value value;
    if (const auto error = field.value().get(value)) return error;
    if (const auto error = visit(key, value)) return error;
  }
  return simdjson::SUCCESS;
}
/// The same of a value; what is no object has no fields.
template <class Visit>
simdjson::error_code each_field(simdjson::ondemand::value value, Visit&& visit) {
  simdjson::ondemand::json_type type{};
  if (const auto error = value.type().get(type)) return error;
  if (type != simdjson::ondemand::json_type::object) return simdjson::SUCCESS;
  simdjson::ondemand::object object;
  if (const auto error = value.get_object().get(object)) return error;
  return each_field(object, visit);
}

/// Calls visit(text) for each string of an array, or for the one string that stands in its place.
template <class Visit>
simdjson::error_code each_text(simdjson::ondemand::value value, Visit&& visit) {
  simdjson::ondemand::json_type type{};
  if (const auto error = value.type().get(type)) return error;
  if (type != simdjson::ondemand::json_type::array) {
    const std::string_view text = scalar_text(value);
    if (!text.empty()) visit(text);
    return simdjson::SUCCESS;
  }
  simdjson::ondemand::array array;
  if (const auto error = value.get_array().get(array)) return error;
  for (auto element : array) {
    simdjson::ondemand::value item;
    if (const auto error = element.get(item)) return error;
    const std::string_view text = scalar_text(item);
    if (!text.empty()) visit(text);
  }
  return simdjson::SUCCESS;
}

}  // namespace bounced::parse
