#include "net/http_request_parser.h"

#include "base/text.h"

namespace bounced::net {

namespace http = boost::beast::http;

void RequestBytes::clear() {
  text.clear();
  fields.clear();
  body.clear();
  method_size = target_size = 0;
  expects_continue = old_version = false;
}

void RequestBytes::list(std::vector<HttpHeader>& out) const {
  out.clear();
  const std::string_view all = text;
  for (const Field& field : fields) {
    out.push_back({all.substr(field.at, field.name_size),
                   all.substr(field.at + field.name_size, field.value_size)});
  }
}

void RequestParser::on_request_impl(http::verb, View method_text, View target, int version, Code&) {
  to_.text.assign(method_text.data(), method_text.size());
  to_.text.append(target.data(), target.size());
  to_.method_size = static_cast<std::uint32_t>(method_text.size());
  to_.old_version = version < 11;
  to_.target_size = static_cast<std::uint32_t>(target.size());
}

void RequestParser::on_field_impl(http::field name, View name_text, View value, Code&) {
  if (header_done_) return;
  RequestBytes::Field field;
  field.at = static_cast<std::uint32_t>(to_.text.size());
  field.name_size = static_cast<std::uint32_t>(name_text.size());
  field.value_size = static_cast<std::uint32_t>(value.size());
  to_.text.append(name_text.data(), name_text.size());
  for (std::size_t i = field.at; i < to_.text.size(); ++i) to_.text[i] = ascii_lower(to_.text[i]);
  to_.text.append(value.data(), value.size());
  to_.fields.push_back(field);
  if (name == http::field::expect) {
    to_.expects_continue |= iequals({value.data(), value.size()}, "100-continue");
  }
}

std::size_t RequestParser::on_body_impl(View bytes, Code&) {
  to_.body.append(bytes.data(), bytes.size());
  return bytes.size();
}

}  // namespace bounced::net
